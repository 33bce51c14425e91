// The documentation: the texts of the package itself, which alone are read as markup. A search leaves the sections that hold all its words.
"use strict";

const at = (id) => document.getElementById(id);
const slug = (text) => text.toLowerCase().replace(/[^\w\s-]/g, "").trim().replace(/\s+/g, "-");

// A link of one chapter to another's file leads there; one to a file that is no chapter is a text.
function targetOf(href, place, places) {
  if (/^https?:/.test(href)) return href;
  const [path, part] = href.split("#");
  const file = path ? new URL(path, `file:///${place}`).pathname.slice(1) : place;
  const chapter = places.get(file);
  return chapter === undefined ? null : `#${chapter}${part ? `--${part}` : ""}`;
}

function articleOf(chapter, places) {
  const name = places.get(chapter.place);
  const article = document.createElement("article");
  article.id = name;
  const box = document.createElement("div");
  box.innerHTML = marked.parse(chapter.text);
  box.querySelectorAll("img").forEach((image) => image.replaceWith(image.alt));
  box.querySelectorAll("a[href]").forEach((link) => {
    const target = targetOf(link.getAttribute("href"), chapter.place, places);
    if (target === null) link.replaceWith(...link.childNodes);
    else link.href = target;
    if (target && !target.startsWith("#")) link.rel = "noreferrer noopener";
  });
  box.querySelectorAll("pre, table").forEach((wide) => {
    const label = wide.matches("pre") ? "Code" : "Table";
    const scroll = document.createElement("div");
    for (const [key, value] of Object.entries({ class: "scroll", tabindex: "0", role: "group", "aria-label": label })) scroll.setAttribute(key, value);
    wide.replaceWith(scroll);
    scroll.append(wide);
  });
  box.querySelectorAll("th:empty").forEach((head) => head.replaceWith(document.createElement("td")));
  let section = document.createElement("section");
  for (const node of [...box.childNodes]) {
    if (/^H[1-4]$/.test(node.tagName ?? "")) {
      section = document.createElement("section");
      const tag = node.tagName === "H1" ? "h2" : node.tagName === "H2" ? "h3" : "h4";
      const heading = document.createElement(tag);
      heading.append(...node.childNodes);
      if (node.tagName !== "H1") section.id = `${name}--${slug(heading.textContent)}`;
      section.append(heading);
      article.append(section);
    } else section.append(node);
  }
  return article;
}

function search() {
  const words = at("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  let many = 0;
  document.querySelectorAll("article").forEach((article) => {
    let shown = 0;
    article.querySelectorAll("section").forEach((section) => {
      const text = section.textContent.toLowerCase();
      section.hidden = !words.every((word) => text.includes(word));
      shown += section.hidden ? 0 : 1;
    });
    article.hidden = !shown;
    many += shown;
  });
  at("found").textContent = words.length ? `${many} ${many === 1 ? "section" : "sections"}` : "";
}

async function show() {
  const response = await fetch("/api/docs");
  if (!response.ok) throw new Error(await response.text());
  const chapters = await response.json();
  const places = new Map(chapters.map((chapter) => [chapter.place, slug(chapter.title)]));
  at("text").replaceChildren(...chapters.map((chapter) => articleOf(chapter, places)));
  at("chapters").replaceChildren(...chapters.map((chapter) => {
    const link = document.createElement("a");
    link.href = `#${places.get(chapter.place)}`;
    link.textContent = chapter.title;
    return link;
  }));
  at("find").addEventListener("input", search);
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

show().catch((fault) => { at("found").textContent = fault instanceof TypeError ? "The command `telemetry view` has ended: run it again." : fault.message; });
