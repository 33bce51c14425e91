"""The local page: what is collected and why, what happens now, what left, and the user's choice.

`facts` reads what the page shows, `serve` answers its requests on the loopback address. `page` holds its files; uPlot
(https://www.npmjs.com/package/uplot, version 1.6.32, MIT, `uPlot.LICENSE`) draws the charts, marked
(https://www.npmjs.com/package/marked, version 18.2.1, MIT, `marked.LICENSE`) sets the documentation.
"""
