"""Rules for SQL inside of free text: from a statement's first word to the end of the text.

Where a statement ends inside a sentence nobody can tell. Where one begins, its first words tell: a few of them when
they are in capitals or stand behind a sign, more when they may be English.
"""

from __future__ import annotations

import re

from telemetry.redact.rules.placeholder import mark
from telemetry.redact.rules.rule import Rule

SQL = mark("sql")

_BLANK = r"(?:\s|\\[nrt])"  # within JSON, the end of a line is two characters
_PARTS = {
    "<name>": r"[\w.\"`\[\]$#@\\%]+",
    "<columns>": r"(?:\([^)]{0,300}\)~)?",
    "<clause>": r"(?:where|join|inner|left|right|full|cross|natural|group|order|limit|having|union|offset"
    r"|for update|qualify|window|sample|tablesample|lateral|fetch|asof|pivot|unpivot|connect by|start with)\b",
    # No word of a language: with a sign, a digit or a quote in it.
    "<symbol>": r"(?=[A-Za-z\"`\[{:$])[\w$]*[\"`\[{_.:\d][\w.\"`\[\]$#@\\{}:]*(?<![.:])",
    "<end>": r"\W*\Z",
    "<quote>": r"[\s;]*\\*[\"'`](?!\w)",
    "<modifiers>": r"(?:(?:or replace|or refresh|temp|temporary|global|local|unlogged|unique|materialized|external"
    r"|transient"
    r"|foreign|streaming|private|public|persistent|constraint|event|virtual|recursive|concurrently|only|or alter"
    r"|dynamic|multiset|columnstore|force|interactive|volatile|hybrid|iceberg|clustered|nonclustered|fulltext|spatial"
    r"|bitmap|secure|managed|live"
    r"|storage|api|security|notification|masking|row access|network|session|resource|file|vector|search|row"
    r"|algorithm~=~\w+|definer~=~[\w.\"`'@%]+|sql security \w+"
    r"|if (?:not )?exists) )*",
    "<kind>": r"(?:table|view|index|source|sink|subscription|connection|secret|function|aggregate|procedure|routine"
    r"|trigger"
    r"|sequence|schema|database|type|domain|role|user|user mapping|group|login|extension|server|foreign data wrapper"
    r"|publication|policy|proc|rule|operator(?: class| family)?"
    r"|cast|collation|conversion|language|statistics|tablespace"
    r"|text search \w+|access method|macro|catalog|warehouse|stage|stream|task|pipe|share|dictionary|model|package"
    r"|synonym|profile|keyspace|scope|space|format|integration|streamlit|tag|monitor|alert|repository"
    r"|property graph|placement policy|resource group|compaction group|import|constant|fragment"
    r"|snapshot|flow|endpoint|authorization|analyzer|tokenizer|generator|exception|character set|parameter)",
    "<verdict>": r"(?:fail(?:s|ed|ures?|ing)?|done|errors?|success\w*|succeeded|started|finished|completed?|timeout"
    r"|timed|needs|is"
    r"|was|not|can(?:not|'t)?|could"
    r"|exists?|already|statements?|commands?|requires|must|does|has|took|in|ok|aborted|skipped|rejected|denied"
    r"|support\w*)\b",
    "<follows>": r"(?:as|on|with|from|to|in|for|add|drop|alter|rename|set|reset|owner|using|cascade|restrict|like"
    r"|values"
    r"|partition|returns|begin|clone|swap|replica|enable|disable|attach|detach|password|identified|superuser|inherit"
    r"|options|type|is|modify|inherits|cluster|character|row_format|owned|tablespace|delete|instead|increment|row|tag"
    r"|of|engine|comment|sql|language|server|before"
    r"|after|stored|location|execute|replace|validate|where|start|minvalue|maxvalue|nocycle|nocache|cycle|cache|schema"
    r"|version|require|sink|state|library|reroute|node|convert|force|format|label|default|update|\w{1,40}(?=~=))",
    "<as>": r"as~(?:(?:not )?materialized~)?\(",
    # To the first `from` within some hundred characters. Greedy runs up to each `f` are much faster than lazy steps.
    "<to_from>": r"[^f]{0,100}+(?:f(?!rom\b)[^f]{0,100}+){0,10}+from",
    "<hint>": r"/\*[^*]{0,300}\*/",
    # Of a statement, and none itself: `CREATE INDEX needs a name`.
    "<said>": r"(?:is|are|was|were|has|does|did|can|cannot|must|may|should|will|needs?|requires?|takes?|expects?"
    r"|fail(?:s|ed)?|statements?|commands?|queries|returned|supports?|not) [a-z]{1,12}\b(?! ?[;(=])",
    "<privilege>": r"(?:all|select|insert|update|delete|usage|execute|create|connect|references|trigger|truncate"
    r"|temp(?:orary)?|maintain|ownership|apply|modify|monitor|operate|manage|imported|role|super|process|reload|file"
    r"|replication|read|write|alter|attach|drop|index|show|lock|dql|dml|ddl|al)\b",
    "<article>": r"(?:an?(?!~(?:from|,|=|\.))|the|one|your|this|that|these|its|all|any|some|another|each|every)\b",
}


def _pattern(*alternatives: str) -> str:
    """Join alternatives: a space stands for blanks, a `~` for blanks or none, and `<…>` for one of `_PARTS`."""
    pattern = "|".join(alternatives)
    for name, part in _PARTS.items():
        pattern = pattern.replace(name, part)
    return pattern.replace(" ", _BLANK + "+").replace("~", _BLANK + "*")


# In capitals a statement's first words are enough.
_CAPITALS = _pattern(
    r"SELECT(?=[\s(*\"'`\\@\[/-])",
    r"INSERT (?:<hint>~)?(?:INTO|OVERWRITE|OR|IGNORE|ALL|FIRST) |INSERT <name>~(?:\(|VALUES|SELECT)",
    r"UPDATE [\s\S]{1,100}? SET |UPDATE [\"`]\w",
    r"DELETE FROM |DELETE <name>(?:~,~<name>){0,5} (?:[\w.]+ )?(?:FROM|WHERE|OUTPUT) ",
    r"MERGE INTO |MERGE <name> (?:AS )?(?:\w+ )?USING ",
    r"(?:UPSERT|REPLACE) INTO |REPLACE VIEW ",
    r"(?:CREATE|ALTER|DROP|UNDROP) (?:OR |IF |[A-Z_]{3,}+(?! (?:<said>)))",
    r"TRUNCATE (?:TABLE )?[\w\"`]",
    r"COPY (?:INTO |\()|COPY <name>~<columns>(?:FROM|TO) ",
    r"GRANT \w[\s\S]{0,100}? (?:ON|TO) |REVOKE \w[\s\S]{0,100}? (?:ON|FROM) ",
    r"CALL <name>~\(|EXEC(?:UTE)? (?!(?:transaction|call|command|block|state|phase|queue)\b)[\w@\[\"]",
    r"PREPARE \w+ (?:FROM|AS|\()",
    r"WITH (?:RECURSIVE )?(?:FUNCTION |[^\n(]{1,60}?<columns>\bAS~(?:(?:NOT )?MATERIALIZED~)?\()",
    r"WITH [^\n(]{1,60}\(~SELECT ",
    r"VALUES~(?:\(|ROW~\()",
    r"SET (?:GLOBAL|SESSION|LOCAL|PERSIST\w*|NAMES|VARIABLE|TRANSACTION|CHARACTER|ROLE|PASSWORD|SCHEMA|TIME|OPTION) ",
    r"SET <name>~:?=|SET <name> TO |SET \w+ (?:ON|OFF)\b|SET \w+\.[\w.]+",
    r"IDENTIFIED BY|EXPLAIN[\s(\\]|PRAGMA \w|DECLARE [\w@]|COMMENT (?:ON (?!for )|IF )",
    r"(?:SHOW|REFRESH) [A-Z_]{3,}|(?:ANALYZE|VACUUM|OPTIMIZE|SUMMARIZE|DESC|DESCRIBE) [\w`\"(]",
    r"(?:UN)?CACHE (?:LAZY )?TABLE |(?:LOAD|EXPORT) DATA |MSCK REPAIR |(?:UN)?LOCK TABLES? |(?:ATTACH|DETACH) [\w'\"]",
    r"PUT '?file:|(?:PUT|GET|LIST|REMOVE) @|(?:UN)?PIVOT~[\w(\"]|USE [\w.\"`\[\]]+~(?:;|\Z)",
    r"(?:BEGIN|COMMIT|ROLLBACK|SAVE) (?:TRAN|TRANSACTION|WORK) \w|INSTALL [\w'\"]|IF (?:NOT )?(?:OBJECT_ID|EXISTS)~\(",
    r"(?:WHERE|HAVING) (?:[^\n=<>.]|\.(?! )){1,80}(?:=|<|>| (?:LIKE|IN|BETWEEN|IS) )",
    r"FROM <name> (?:AS )?(?:\w+ )?(?:WHERE|JOIN|INNER|LEFT|RIGHT|FULL|CROSS|GROUP BY|ORDER BY|SELECT|INSERT) ",
    r"FROM <name> (?:AS \w+ )?\|>|USE (?:SCHEMA|DATABASE|ROLE|WAREHOUSE|CATALOG) [\w\"`\[]",
    r"SET (?:LANGUAGE|DATEFORMAT|DATEFIRST|IDENTITY_INSERT) [\w'\"@]",
    r"JOIN <name> (?:AS )?(?:\w+ )?ON ",
)
# In small letters these are English too: more of the statement must be there.
_ANY_CASE = _pattern(
    r"select (?:\*|distinct |count~\(|top \d|<name>~,(?=<to_from> )|<name>~\(|<name>~,[\t\x20]{0,4}(?:\n|\\n)"
    r"|\d+(?:\W*\Z|~[,;:)+*/'\"-]| (?:from|as|union|where|limit|order|group|intersect|except|into|and|or|is|in"
    r"|between|like)\b)"
    r"|'[^']*'|[\w.]+ as )",
    r"select <to_from> <name>~(?:\w+ )?(?:<clause>|;|,)",
    r"insert (?:or \w+ |ignore )?into <name>~(?:\(|values|select|with|default|set|\Z)",
    r"insert overwrite (?:table )?<name>",
    r"(?:replace|upsert|insert) (?:delayed |low_priority |high_priority )?into <name>~(?:\(|values|select|set|with)",
    r"update <name> (?:as )?(?:\w+ )?set <name>~=|delete from <name>~(?:where\b|using\b|returning\b|;)",
    r"merge into (?:only )?<name> (?:as |using |\w+ using)",
    r"create (?:or replace )?(?:temp(?:orary)? |unique |materialized |external |transient )?<kind> (?:if not exists )?"
    r"(?!<verdict>)<name>~(?:\(|@|;|\Z|(?:as|on|with|from|returns|begin)\b)",
    r"(?:alter|drop|truncate) (?:table|view|user|role|schema|database) (?:if exists )?<name>~"
    r"(?:add|drop|alter|rename|set|owner|cascade|with|identified|password|;|\Z)",
    r"with (?:recursive )?(?:<name>|\"[^\"\n]{1,60}\"|`[^`\n]{1,60}`)~<columns><as>"
    r"~(?:select|insert|update|delete|values|with)\b",
    r"values~\((?!\d+\)~(?:are|is|have|were|must|in|of|for)\b)~(?:'|\d|\?|%s|:\w)|identified by (?:['\"]|values"
    r"|password)|copy <name>~<columns>from (?:stdin|')",
    r"show (?:full |extended )?(?:tables|databases|schemas|columns|processlist|create table)\b",
    r"comment on (?:table|column|view) <name> is ",
    r"(?:grant|revoke) (?:all|select|insert|update|delete|usage|execute|create|connect|references|trigger|truncate)\b"
    r"[\w,\s]{0,100} on <name> (?:to|from) ",
    r"(?:alter|create) (?:user|role|login) <name> (?:with |password |identified )|alter system set ",
    r"(?:un)?cache (?:lazy )?table <name>",
    r"exec(?:ute)? <name> (?:@|')|call <name>~\(~(?:'|\d|\?|@|:)|declare @|pragma \w+~[=(]|set @{1,2}[\w.`]+~:?=",
    r"(?:alter|create|drop) user (?:if (?:not )?exists )?'[^'\n]{1,80}'(?:~@~'[^'\n]{1,80}')?"
    r"~(?:,|;|\Z|(?:with|identified|password|require|account|comment|attribute|default)\b)",
    r"load data (?:low_priority |concurrent )?(?:local )?(?:infile|inpath) ",
)
# Behind a sign stands what a program was given rather than a sentence.
_BEHIND_A_SIGN = _pattern(
    r"select (?:[#|.!%]|/\*|\w+~[{%]|(?!<article>)\w+ (?:regexp\w*|rlike|similar|glob|ilike) |next value for )",
    r"(?:create|drop) <modifiers>index (?:if not exists )?on <name>|create <modifiers>(?:proc|namespace"
    r"|interactive table|sql security"
    r"|\$)",
    r"alter session (?:un)?set |alter <kind> <name> (?:unset|owned|refresh|set) |undrop \w|detach <symbol><end>",
    r"set (?:character set|charset|time zone|session role|hiveconf:)|lock (?:table )?<name> in (?:access|row|share"
    r"|exclusive) ",
    r"analyze (?:table )?<name> (?:update|drop|compute|partition)\b|insert (?:(?:all|first) (?:(?:when|into)\b|/\*)"
    r"|/\*)"
    r"|copy (?:from )?database |vacuum (?:full|freeze|verbose|analyze) \w+<end>|attach \w+ database |desc(?:ribe)? '",
    r"comment on large object |load data (?:local |into |inpath )|put \\*'?file:|show [a-z\x20]{1,40} in <symbol>"
    r"|explain from ",
    r"from <name> (?:where|qualify|filter|select|join|group by|order by|aggregate)\b|(?:drop"
    r"|truncate) <kind> (?:if exists )?<name>~,",
    r"delete from (?!<article>)<name> (?:with~\(|partition~\(|as of |(?:as )?(?!<verdict>)\w+(?: (?:where|using) "
    r"|<end>))"
    r"|if (?:<symbol> (?:is (?:not )?null then |(?:not )?(?:in~\(|like ~'))|@{1,2}\w)|begin [\w.\[\]]+~:=",
    r"select (?!<article>)<to_from> (?!<article>)<name>|select <to_from>~\(~(?:select|values|with)\b",
    r"select (?:with \w+ options~\(|with \w+ \w+~\(|new <name>~[({]|as value |as struct )",
    r"select (?:distinct |all )?(?:[('\"`:@$?{*\[\x7e\\]|[+-]?\d|[+-][\w.(@]|[a-z]{1,2}&?\\*['\"]|<symbol>"
    r"|\w+\.\*|\w+~(?:[(,:|=<>+*/\[]|->|-~\d|[+-]?\\*['\"])|interval [+-]?\d"
    r"|(?!<article>)\w+ (?:as|like|is|between|over|or|and|not|collate) "
    r"|(?:case (?:[^\s]+ ){0,3}?when|not|null|true|false|current_\w+)\b)",
    r"create (?!<article>)(?:\w+ ){1,4}?(?:table|index|view|function|procedure) (?:if not exists )?(?!<verdict>)<name>~"
    r"(?:\(|(?:clustered|partitioned) |on <name>~\(|as select )|set (?:schema|catalog) <name><end>|execute (?:block"
    r"|statement)\b",
    r"explain \w+ (?:select|insert|update|delete|with) |show (?:\w+ ){1,3}(?:from|in|on) <name> (?:where|like) "
    r"|select [\w.]+~[-+*/]~[\w.]+ as |use \w+~(?:\n|\\n)~go\b|exec(?:ute)? [\w.]+~(?:(?:\n|\\n)~go\b|;)|exec \.",
    r"update top~\(|(?:fetch|open|close) (?:next )?(?:from )?@|declare (?:variable )?<symbol> [a-z]"
    r"|declare \w+ type of "
    r"|(?:commit|rollback|save) tran(?:saction)? (?!<verdict>)<name><end>|execute \w+ using |set width <symbol>"
    r"|alter (?:database|character set \w+) set |comment on \w+ <symbol> is |set statistics (?:index )?<symbol>",
    r"delete from (?!<article>)<name><end>|(?:drop <kind>|truncate table) (?:if exists )?<name><end>",
    r"(?:create|alter|drop|undrop|comment on|reindex|refresh|truncate|attach|detach|describe|desc|show create|lock"
    r"|rename) "
    r"<modifiers><kind> <modifiers>(?:<symbol>|(?!<verdict>)<name>~(?:[(;:]|<follows>\b|<end>))",
    r"create <modifiers>(?:operator|cast|<kind> [\w,]{1,40})~[(<>=!\x7e@#%^&|+*/-]",
    r"insert (?:or \w+ |ignore |overwrite )?(?:into )(?:table )?(?!<article>)<name>",
    r"(?:delete from|merge into|truncate(?: table)?|update) (?:only |table )?<symbol>|truncate~\("
    r"|create <symbol><end>|drop operator |update (?!<article>)<name> (?:as )?(?:\w+ )?set ",
    r"set (?:session |local |global |variable |var |persist |persist_only )?(?!`[\w.]+=)<name>"
    r"(?:~=| to )~(?!(?-i:True|False|None)\b)(?:'[^'\n]*'|[^\s;,]+)(?:~[,(+*/|-][^\n]*)?~(?:;"
    r"|<end>)",
    r"set (?:session authorization|variable|role) <name>|prepare transaction"
    r"|insert (?:/\*[^*]{0,300}\*/~)?(?:into )?<name>~(?:\(|select|values|as)|insert~\(\w+~,",
    r"(?:fetch|move) (?:next|prior|first|last|all|forward|backward|absolute|relative"
    r"|[+-]?\d{1,9})\b[\w\s-]{0,30} ?(?:in|from) <name>(?:\W*\Z| into )",
    r"(?:close|listen|unlisten|notify|deallocate|execute|vacuum|analyze|cluster|reindex|load(?! (?:\w+ )?key )"
    r"|describe|desc"
    r"|install(?! \S{1,60} for )"
    r"|show|pragma"
    r"|call(?! [\w.]+\(\) [a-z])|prepare|summarize|from(?! <article>)|reset|savepoint|release|explain|refresh|lock"
    r"|optimize"
    r"|exec) (?:[a-z]+ ){0,2}?(?!v?\d+(?:\.\d+)+\b|[\w.$]+@[0-9a-f]{5,8}\b)<symbol>~(?:[;(,]|[^\w=]*\Z|(?:from|as"
    r"|into|to|where|is|set|for|join"
    r"|select|group|order|limit|using|partition|with)\b)",
    r"(?:pragma|reset|show|refresh|optimize|explain|exec|execute|call|from|desc|describe) <symbol>~=~[^\s=]",
    r"copy~\(|copy <name>~<columns>(?:from|to) (?:\\*['\"{$@]|std(?:in|out)\b|program\b|<symbol>|:\\*['\"]|\?"
    r"|directory )",
    r"(?:grant|revoke) (?:grant option for )?<privilege>[\w(),\s*]{0,600} (?:on|to|from) (?!<article>)"
    r"(?:<kind> |all \w+ in schema )?<name>",
    r"(?:grant|revoke) <name>(?:~,~<name>){0,9} (?:to|from) (?!<article>)<name>(?:~,~<name>){0,9}(?: with \w+ option)?"
    r"[\s;]*\Z",
    r"declare <name> [\w\x20]{0,40}cursor|show (?:full |terse )?\w+ (?:like \\*['\"]|(?:from|in|on) (?:schema"
    r"|database|table|account|<symbol>))|(?:vacuum|analyze|explain|cluster)~\(",
    r"drop cast |begin (?:get|declare|tran(?:saction)?|isolation)|comment on constraint |select \w+ (?:with"
    r"|without) time zone",
    r"(?:prepare|declare) <name> (?:as |cursor|\(|from |\w+ (?:;|:=|default))|do~\$",
    r"values (?:\w+\(|\w+~[\['(] |multiset |\{fn |(?:date|time|timestamp|interval) ')",
    r"values~\((?!\d+\)~(?:are|is|have|were|must|in|of|for)\b)~(?:\\*['\"]|[\d$@:?({-]|null\b|default\b|true\b"
    r"|false\b|row\b|select\b|\w+~[(,])",
    r"begin (?:\w+~:=|for |if |select |insert |update |delete |raise )|begin [\w.]+~:?=~[\w$'(]"
    r"|if(?: |~\()[^\n]{1,100}?\)?~then(?:\n|\\n|\x20{2})",
    r"(?-i:use|USE) <symbol>\W*\Z|analyze \w+~\(|export (?:table|database) |replace <kind> |(?:attach"
    r"|detach) (?:database )?(?:if (?:not )?exists )?\\*['\"]",
    r"with (?:recursive )?<name>~<columns>as~\(|with function |with <name>~\(~(?:select|with|values)\b|explain (?:\("
    r"|analyze|verbose|select|insert|update|delete|with|create)",
    r"(?:import foreign schema|reassign owned by|alter (?:system|default)|security label) <name>"
    r"|call <name>~\([^\n]*\)<end>|from <name>~\(",
    r"from <symbol>(?:~,|~;|[^\w=]*\Z)|replace~\(\w|(?:un)?pivot(?: <name>|~\()|(?:drop|reassign) owned by <name>",
    r"copy into (?!<article>)<name>(?: from ~[@(\\'\"`]| from <symbol>| \w{1,40}~=|~\(|<end>)|values row~\("
    r"|merge (?!<article>)<name> (?:as )?(?:\w+ )?using |from <name>(?: (?:as )?\w+)?~(?:\|>|(?:un)?pivot~\()"
    r"|from '[^'\n]{1,200}' as \w|truncate <name>~,"
    r"|export (?:data|model) (?:options|with connection)|savepoint \w+<end>|(?:list|ls|remove|rm) ~@|exec(?:ute)? @\w",
    r"rollback (?:and (?:no )?chain )?to (?:savepoint )?\w+<end>|set (?:var )?~\([^)\n]{1,200}\)~="
    r"|set '[^'\n]{1,80}'~=|set names (?:'"
    r"|\w+ collate|\w+<end>)"
    r"|set (?:context_info|xact_abort) "
    r"|delete (?:top~\(|(?:quick |low_priority |ignore )+(?!<article>)<name>|(?!<article>)<name> where (?:exists~\("
    r"|<name>~(?:[=<>]|is |in |like ))|<symbol>(?:~,~<name>){0,5} (?:\w+ )?(?:from|where|output) )"
    r"|delete <name>(?:~,~<name>){0,5} from <name> (?:as )?(?:\w+ )?(?:join|inner|left|using|where) |use identifier~\("
    r"|truncate (?!<verdict>)<name>(?:~\*| (?:continue|restart) identity|<end>)|analyze \w+(?:~,~\w+){1,9}<end>",
    r"(?:grant|revoke) \w+(?: \w+){0,3} on account (?:to|from) |desc(?:ribe)? (?:table|function"
    r"|database) extended <name>"
    r"|exec(?:ute)? <symbol> (?:[\d'@-]|default\b|null\b)|with~(?:\([^\n]{1,200}\)|\[[^\]\n]{1,200}\]"
    r"|'[^'\n]{1,200}') as \w+ select"
    r"|while [^\n:]{0,80}[<>=(][^\n:]{0,80} (?:loop|do)\b"
    r"|update <name>(?:~,~<name>){1,5} set |update <name> (?:as )?(?:\w+ )?(?:inner |left )?join (?:<name>|~\()"
    r"|(?:update"
    r"|delete) open(?:query|rowset)~\("
    r"|analyze tables in <symbol>|update <name>~,~\(~select |update~\(~<symbol>|update [\w.-]+ set [\w.`\"]+~=",
    r"show (?:open |extended |full )*(?:tables|columns|fields|index(?:es)?|keys|triggers|table status"
    r"|events) (?:from|in)"
    r" (?!<article>)<name><end>|show grants for |show table <symbol>|rename (?:user|table|database"
    r"|column) [^\n]{1,100}? to ",
    r"(?:grant|revoke) (?:\\*'[^'\n]{1,80}'|proxy on )|lock tables? <name> (?:as <name> )?(?:read|write"
    r"|low_priority)\b",
    r"optimize table (?:<symbol>|<name>(?: (?:final|deduplicate|partition|zorder|compact)|<end>))"
    r"|start transaction (?:read|with|isolation) "
    r"|set transaction (?:snapshot|isolation|read)|set hivevar:|call <name>~\([^()\n]*\) as of |merge /\*",
    r"declare <name> (?:[\w.]+%(?:row)?type|exception|resultset)\b|alter all row |drop all row |create statistics on ",
    r"(?-i:(?:CLOSE|OPEN|ANALYSE|TABLE|LISTEN) [\w.@]+(?:<end>| ORDER BY ))",
    r"locking (?:table|view|row|database) (?!<verdict>)<name> for |create (?:multi)?set table "
    r"|for <name> in~\(~select\b"
    r"|force install <name>|pivot_(?:wider|longer) <name> on |if~(?:not~)?object_id~\("
    r"|show (?:\w+ ){1,3}for (?:channel|group|user|role|account|table|database) <name><end>"
    r"|show create \w+ <name><end>|analyze table <name>~\(|open schema <name><end>"
    r"|evaluate <name>~(?:\(|order by )|(?-i:EVALUATE) (?:<name>|'[^'\n]{1,80}')<end>|evaluate '[^'\n]{1,80}'<end>"
    r"|declare or replace <name>|declare (?:variable )?<name>~(?:=|(?:int|integer|bigint|varchar|text|date|boolean)\b)"
    r"|update <name> <name> from~\(~select\b|delete from <name> on cluster <name>|from~\(~from <name>"
    r"|create materialized view <name> (?:auto |refresh )|create (?:or replace )?model <name>~"
    r"(?:transform|options)~\("
    r"|analyze (?:(?:verbose|skip_locked|sample|full) ){1,3}(?:table )?<name>~\(|install <name> from community\b"
    r"|select if\b[^\n]{1,200} endif\b|select <name>!\w"
    r"|select interval <name> (?:year|month|day|hour|minute|second)s?\b"
    r"|show links on <name><end>|create volatile (?:multi)?set table |alter table <name> change (?:column )?<name> "
    r"|delete <name> as <name> where |drop namespace <name>|update <name> from <name> as |merge into <name> with~\("
    r"|select <name> at time zone |select approximate |set (?:persist|persist_only) <name>~="
    r"|create table (?:if not exists )?<name> tblproperties~\(|install <name> from '|insert into <name> replace where "
    r"|with \w+~\([^()\n]{0,80}\) as <name> select "
    r"|create <modifiers>table <name> (?:shallow |deep )?clone |set <name>~=~[^\s;]+ for session\b"
    r"|show (?:\w+ ){1,3}(?:like '[^'\n]{0,80}' )?in (?:schema|database|catalog) <name><end>",
    r"use (?:schema|database|role|warehouse|catalog) <name>~(?:\(|<end>)"
    r"|analyze (?:local|no_write_to_binlog) table <name>|truncate (?:(?:table )?(?:only|if exists) "
    r"|<name> (?:on cluster|cascade|restrict)\b)"
    r"|declare [\w`@]+(?:~,~[\w`@]+){0,9} (?:as )?(?:default |struct~<|bool"
    r"|int|bigint|smallint|text|string|varchar|n?char|float|double|numeric|decimal|date"
    r"|time|json|bytes|array|record|number|table|cursor)|set (?:language|dateformat|datefirst"
    r"|identity_insert) [\w'\"@]",
)
# What ends with the text may end with the quote before it.
_IN_QUOTES = _pattern(
    r"(?:close|open|analyze|analyse|use|detach|execute|deallocate|listen|unlisten|release|prepare|call|reset|load"
    r"|install"
    r"|vacuum|reindex|cluster|table|describe|desc|show) (?:table |savepoint )?(?=[\w.]*[@$_.\d])[\w.@$]+<quote>",
    r"(?-i:USE) \w+<quote>|create <modifiers><kind> <symbol><quote>",
    r"show (?:(?:\w+ ){1,3}for (?:channel|group|user|role|account|table|database)|create \w+)"
    r" (?:\w+|'[^'\n]{1,80}')<quote>"
    r"|open schema \w+<quote>|show (?:\w+ ){1,3}(?:like '[^'\n]{0,80}' )?in (?:schema|database|catalog) [\w.]+<quote>",
    r"(?:savepoint|rollback to(?: savepoint)?|set names|use (?:schema|database|role|warehouse|catalog)) \w+<quote>",
    r"set (?:session |local |global |variable |var )?<name>(?:~=| to )~(?:'[^'\n]*'|[^\s;,\"'`]+)"
    r"(?:~[,(+*/|-][^\n\"]*)?<quote>",
    r"(?:delete from|(?:drop|truncate|undrop) <modifiers><kind> <modifiers>) ~<name><quote>"
    r"|(?:grant|revoke) \w+(?:~,~\w+){0,9} (?:to|from) <name><quote>",
)
# The same in the middle of a sentence, where the name must be one that no language has.
_IN_A_SENTENCE = _pattern(
    r"(?:create|alter|drop|undrop|reindex|refresh|truncate|comment on) <modifiers><kind> <modifiers><symbol>",
    r"select (?:distinct )?(?:<symbol>~[,(:]|<symbol> (?:as|from|like|in|is|between) |\w+~->|[a-z]{1,2}&?'"
    r"|\w+ '[^'\n]{1,300}'|\w+ from \w+~\("
    r"|[{(]|[+-]?\d[\w.]*(?:::|~[,+*/]|\W*\Z))",
    r"insert (?:or \w+ )?(?:into |overwrite )(?:table )?<symbol>|(?:delete from|merge into) <symbol>"
    r"|update <symbol> (?:as )?(?:\w+ )?set ",
    r"(?:grant|revoke) [\w(),\s*]{1,100} on (?:<kind> )?<symbol>|copy <symbol> ~(?:from|to) ~['\"{]|copy \(~select ",
)
_WHOLE_TEXT = _pattern(r"\A\W*select <to_from> <name>\W*\Z")
# Each of them ends where the next might begin, and few are taken together: so time stays linear.
_COMMENT = r"(?:/\*(?:[^*/]|\*(?!/)|/(?!\*)){0,1000}+\*/|--(?:[^\n\\-]|-(?!-)|\\(?!n)){0,300}+(?:\n|\\n))"
# An edge of a word or some comments, and then the cheapest test first: most words of a text fail it.
_STATEMENT = re.compile(
    rf"(?=[^\W\d_]|[/-]|\A)(?:(?<!\w)|(?<=\\[nrt])|(?=[/-])(?:{_COMMENT}{_BLANK}*+){{1,8}}+)"
    rf"(?:(?=[A-Z])(?:{_CAPITALS})|(?i:(?=[acdegilmprstuvw])(?:{_ANY_CASE}))"
    rf"|(?i:(?=[acdgimrstu])(?:{_IN_A_SENTENCE}))"
    rf"|(?i:(?=[a-z])(?:\A|(?<=[:=\"'(\[>;`\n/])|(?<=[:=\"'(\[>;`/]\s)|(?<=--\s)|(?<=--)"
    rf"|(?<=\\n))(?:{_BEHIND_A_SIGN})|(?<=[\"'`])(?:{_IN_QUOTES})|{_WHOLE_TEXT}))[\s\S]*"
)
_FIRST_WORD = (
    "select|insert|update|delete|merge|upsert|replace|create|alter|drop|truncate|grant|revoke|copy|call|explain|show"
    "|set"
    "|with|values|analyze|describe|desc|declare|exec|execute|pragma|refresh|comment|use|vacuum|attach|load|unload|begin"
    "|from|lock|prepare|commit|rollback|rename|savepoint|deallocate|undrop|reindex"
)
_ANY_FIRST_WORD = (
    f"{_FIRST_WORD}|start|kill|fetch|close|open|import|detach|cache|uncache|optimize|reset|release|listen|notify"
    f"|cluster"
    "|analyse|pivot|unpivot|install|flush|purge|repair|put|remove|list|if|do|table|move|discard|summarize|reassign"
)
_REMARK = rf"(?:/\*[^*]{{0,300}}\*/|(?:\A|(?<=[:=\"'(\[>`]\s)|(?<=[:=\"'(\[>`]))--[^\n-]{{1,100}}--){_BLANK}{{0,4}}"
# Behind these labels stands a statement, or a line of one, whatever its words.
_LABELLED = re.compile(
    rf"(?P<kind>\[SQL:\s{{1,4}}|\b(?:STATEMENT|ANWEISUNG|INSTRUCTION|SENTENCIA|ISTRUZIONE|COMANDO)\s?:\s{{1,4}}|(?:语句"
    rf"|文|ОПЕРАТОР):\s{{0,4}}|\b(?:LINE|ZEILE|LIGNE|LÍNEA|RIGA|LINHA) \d{{1,4}}\s?:\s{{1,4}}"
    rf"|(?i:(?:sql|query|statement|stmt|ddl)(?:\\?[\"'])?{_BLANK}{{0,4}}[:=]{_BLANK}{{0,4}}(?:\\?[\"'])?[(\[]?"
    rf"(?=(?:{_FIRST_WORD})(?:{_BLANK}|\()))"
    rf"|(?i:(?=(?:{_REMARK}){{1,4}}(?:{_ANY_FIRST_WORD})(?:{_BLANK}|\())))\S[\s\S]*"
)

# Each of them behind an edge; a `~` is for blanks, or none. A byte beyond ASCII is the end of a text.
_PREFILTERS = (
    r"(?:select|update|values|truncate|copy|grant|revoke|call|execute|exec|explain|where|having)[\s(*\"'`\\@\[/-]",
    r"(?:show|refresh|analyze|vacuum|optimize|summarize|desc|describe|pragma|declare|pivot|unpivot)[\s\\(\"]",
    r"(?:insert|delete|(?-i:MERGE)|upsert|replace|create|alter|drop|undrop|attach|detach|prepare)[\s\\]",
    r"(?:(?:un)?cache|(?:un)?lock|install|load|export|comment|msck|identified|(?-i:JOIN))[\s\\]",
    r"(?:put|get|list|remove)[\sa-z\\]{1,40}'?(?:@|file:)",
    r"as(?:[\s\\(]|not|materialized|[nrt])*\(",
    r"merge[\s\\]~into",
    r"set[\s\\]~[^\s]{1,80}~(?:=|:=|to[\s\\])",
    (
        r"set[\s\\]~(?:global|session|local|persist|names|variable|transaction|character|role|password|schema|time"
        r"|option"
        r"|@)"
    ),
    r"set[\s\\]~(?:[a-z0-9_]+\.|[a-z0-9_]{1,80}~(?:on|off))",
    r"use[\s\\]~(?:[a-z0-9_.\"`\[\]]{1,100}~(?:;|[^\x00-\x7f])|(?:schema|database|role|warehouse|catalog)[\s\\])",
    r"(?:begin|commit|rollback|save)~(?:tran|work)",
    r"if~(?:not~)?(?:object_id|exists)",
    r"with~(?:recursive~)?function",
    r"from[\s\\][\s\S]{1,100}\|>",
    r"from[\s\\][\s\S]{1,200}(?:where|join|inner|left|right|full|cross|group|order|select|insert)[\s\\]",
)
_SIGN = r"(?:[:=\"'(\[>;`\n/\xff]\s?|--\s?|\\n)"
_VERBS = (
    "fetch|move|close|listen|unlisten|notify|deallocate|discard|vacuum|analyze|cluster|reindex|load|install|describe"
    "|desc|show|use"
    "|pragma|call|prepare|summarize|from|reset|savepoint|release|explain|refresh|lock|optimize|set|do|rename|import"
    "|reassign"
    "|security|begin|if|with|values|replace|pivot|unpivot|declare|execute|exec|drop|merge|list|ls|remove|rm|copy"
    "|truncate"
    "|locking|for|force install|pivot_wider|pivot_longer|open|evaluate|select"
    "|export|while|start|(?-i:CLOSE|OPEN|ANALYSE|TABLE|LISTEN)|rollback|update|delete|create|alter|truncate|grant"
    "|revoke"
)
_EDGE = r"(?:[^a-z0-9_]|\\[nrt])"

STATEMENTS = (
    Rule(
        "sql",
        (
            *(_EDGE + expression.replace("~", _BLANK + "*") for expression in _PREFILTERS),
            rf"{_SIGN}(?:{_VERBS})[\s\\(]",
        ),
        _STATEMENT,
        lambda _match: SQL,
        "failed: SELECT name FROM users WHERE id = 17",
        "failed: [sql]",
    ),
    Rule(
        "sql",
        (
            r"\[sql:\s",
            r"(?:statement|anweisung|instruction|sentencia|istruzione|comando)\s?:\s",
            r"(?:line|zeile|ligne|riga|linha) [0-9]{1,4}\s?:\s",
            r"(?:sql|query|statement|stmt|ddl)[\s\\\"'nrt]{0,20}[:=]",
            rf"(?:\*/|--)[\s\\nrt]{{0,8}}(?:{_ANY_FIRST_WORD})[\s\\(]",
        ),
        _LABELLED,
        lambda match: match["kind"] + SQL,
        "slow query=begin payroll",
        "slow query=[sql]",
    ),
)
