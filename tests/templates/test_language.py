"""The language itself, construct by construct, as Velocity 1.7's reference describes it; and that only TemplateError comes of
any text.

https://velocity.apache.org/engine/1.7/vtl-reference.html
"""

import contextlib
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cumulet.gateway.templates import TemplateError, compile_template
from cumulet.gateway.templates.jsonpath import JsonPathError, find_path
from cumulet.gateway.templates.variables import input_of, quiet, util


def render(template, **variables):
    return compile_template(template).render(variables)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("$a ${a} $!a $!{a} ${a}b $a-b", "1 1 1 1 1b $a-b"),
        ("$none $!none ${none} $!{none} $none.x.y()", "$none  ${none}  $none.x.y()"),
        ("costs $5 and $ and 100%", "costs $5 and $ and 100%"),
        (r"\$a \\$a \$none", r"$a \1 \$none"),
        (r"\#set($x = 1)", "#set($x = 1)"),
        ("a ## comment\nb #* long\n comment *#c", "a b c"),
        ("#[[ $a #if ]]# $a", " $a #if  1"),
        ("#set($x = 5)\n$x", "5"),
        ("#set($x = 'lit $a')$x #set($x = \"int $a\")$x", "lit $a int 1"),
        ('#set($x = "say ""hi""")$x', 'say "hi"'),
        ("#set($m = {'a': 1, 'b': [1, 2]})$m.a $m.b[1] $m['a'] $m.get('b').size() $m", "1 2 1 2 {a=1, b=[1, 2]}"),
        ("#set($l = ['a', 'b'])#set($l[0] = 'z')$l $l.get(1) $l.contains('z') $l.isEmpty()", "[z, b] b true false"),
        ("#set($m = {})#set($m.k = 'v')$m.k$m.put('q', 2)$m.size()", "v$m.put('q', 2)2"),
        ("#foreach($i in [1..3])$i#if($foreach.hasNext),#end#end", "1,2,3"),
        ("#foreach($i in [3..1])$i#end $i", "321 $i"),
        (
            "#foreach($i in $list)$foreach.index$foreach.count$velocityCount$foreach.first$foreach.last #end",
            "011truefalse 122falsetrue ",
        ),
        ("#foreach($x in [1,2])#foreach($y in [1,2])$foreach.parent.count$foreach.count #end#end", "11 12 21 22 "),
        ("#foreach($v in $map)$v#end #foreach($e in $map.entrySet())$e.key=$e.value;#end", "12 a=1;b=2;"),
        ("#foreach($i in [1..9])#if($i == 4)#break#end$i#end!", "123!"),
        ("a#stop b", "a"),
        ("#if($a == 1)one#elseif($a == 2)two#{else}more#end", "one"),
        ("#if($none)x#{else}y#end#if('')t#end#if(0)z#end#if($f)f#end", "ytz"),
        ("#if(!$none && ($a > 0 || false))yes#end", "yes"),
        ("#if($a eq 1 and not false)w#end #if(2 ge 2 or 1 lt 0)v#end", "w v"),
        ("#if('1' == 1)same#end#if(1.0 == 1)num#end#if($list == ['x','y'])list#end", "samenumlist"),
        ("#set($x = 1 + 2 * 3 - 4 / 2)$x #set($x = 7 / 2)$x #set($x = -7 % 3)$x #set($x = 7.0 / 2)$x", "5 3 -1 3.5"),
        ("#set($x = 1 / 0)$!x|#set($x = 'a' + 1)$x", "|a1"),
        ("#set($x = 1 + 0.5)$x 1.0E10 #set($x = 1.0 * 10000000000)$x #set($x = 0.0001)$x", "1.5 1.0E10 1.0E10 1.0E-4"),
        ("#define($d)[$a]#end$d#set($a = 2)$d", "[1][2]"),
        ("#macro(m $p $q)<$p,$q>#end#m(1 2)#m('x', \"y\")", "<1,2><x,y>"),
        ("#macro(m)$!bodyContent#end#@m()inside $a#end", "inside 1"),
        ("#unknown #unknown($a) #fff", "#unknown #unknown($a) #fff"),
        ("$s.length() $s.substring(1) $s.substring(0, 2) $s.toUpperCase() $s.indexOf('l')", "5 ello he HELLO 2"),
        ("$s.replace('l', 'L') $s.replaceAll('l+', '_') $s.replaceAll('(h)', '$1$1') $s.split('l').size()", "heLLo he_o hhello 3"),
        ("$s.contains('ell') $s.startsWith('he') $s.equals('hello') $s.matches('h.*o') $s.charAt(1)", "true true true true e"),
        ("#set($n = 0)$n.parseInt('12') #set($x = $n.parseInt('12') + 1)$x", "12 13"),
        (
            "$s.getClass() $s.class.forName('x') $list.__class__ $s.nope(1)",
            "$s.getClass() $s.class.forName('x') $list.__class__ $s.nope(1)",
        ),
        ("#set($x = true)$x #set($x = !$x)$x #set($x = $none)$x", "true false false"),
        ("x#if(true)\n  y\n#end\nz", "x  y\nz"),
        ("$map.keySet() $map.values() $map.containsKey('a') $map.getOrDefault('z', 9)", "[a, b] [1, 2] true 9"),
    ],
)
def test_constructs(template, expected):
    variables = {"a": 1, "f": False, "s": "hello", "list": ["x", "y"], "map": {"a": 1, "b": 2}}
    assert render(template, **variables) == expected


@pytest.mark.parametrize(
    "template",
    [
        "#if(",
        "#if($a",
        "#if($a)x",
        "#end",
        "#else",
        "#foreach($a of $b)#end",
        "#foreach($a in $b)",
        "#set($a)",
        "#set($a = )",
        "#set($a = 'x)",
        "#set(1 = 2)",
        "${a",
        "#macro()#end",
        "#define(x)#end",
        "#[[ open",
        "#set($a = [1)",
        "#set($a = {1:)",
        "$a.b(",
        "#evaluate('$a')",
        "#include('x')",
        "#parse('x')",
        "#set($a = " + "(" * 100 + "1",
        "#if(true)" * 60 + "#end" * 60,
    ],
)
def test_what_cannot_be_parsed(template):
    with pytest.raises(TemplateError):
        compile_template(template)


@pytest.mark.parametrize(
    "template",
    [
        "#foreach($i in [1..90000])#foreach($j in [1..90000])x#end#end",
        "#foreach($i in [1..1000000])#end",
        "#macro(m)#m()#end#m()",
        "#define($d)$d#end$d",
        "#set($s = 'xxxxxxxxxxxxxxxx')" + '#set($s = "$s$s$s$s$s$s$s$s")' * 40,
        "#set($s = 'xxxxxxxxxxxxxxxx')" + "#set($s = $s + $s + $s + $s)" * 40,
        "#set($s = 'xxxxxxxxxxxxxxxx')" + "#set($s = $s.replace('x', $s))" * 40,
        "#set($n = 9)#foreach($i in [1..99])#set($n = $n * $n)#end",
        "#set($l = [1])#foreach($i in [1..99])#set($x = $l.addAll($l))#end",
        "#set($l = [])#set($x = $l.add($l))$l",
        "#set($m = {})#set($m.m = $m)$m",
        "#foreach($i in [1..90000])$long#end",
    ],
)
def test_what_would_not_end_ends_soon(template):
    started = time.process_time()
    with pytest.raises(TemplateError):
        render(template, long="x" * 10_000)
    assert time.process_time() - started < 20


def test_expensive_patterns_are_matched_in_linear_time():
    assert render("$s.matches('(a+)+b') $s.replaceAll('(a|a)*c', '') $s.matches('(?=a)')", s="a" * 5000).startswith("false aaa")


FRAGMENTS = [
    "#set(",
    "#if(",
    "#elseif(",
    "#else",
    "#end",
    "#foreach(",
    "#break",
    "#stop",
    "#macro(",
    "#define(",
    "#m(",
    "#@m(",
    "#[[",
    "]]#",
    "##",
    "#*",
    "*#",
    "$",
    "$!",
    "${",
    "}",
    "(",
    ")",
    "[",
    "]",
    "{",
    "..",
    ",",
    ":",
    "'",
    '"',
    "\\",
    "\n",
    " ",
    "=",
    "==",
    "!=",
    "<",
    ">=",
    "&&",
    "||",
    "!",
    "+",
    "-",
    "*",
    "/",
    "%",
    "in ",
    "$a",
    "$b",
    "$s",
    "$l",
    "$m",
    "$input",
    "$util",
    "$context",
    ".size()",
    ".get(",
    ".put(",
    ".path(",
    ".json(",
    ".params(",
    ".substring(",
    ".replaceAll(",
    ".split(",
    ".add(",
    ".escapeJavaScript(",
    ".parseJson(",
    ".base64Decode(",
    ".urlDecode(",
    ".x",
    "'$'",
    "'$..a[?(@.b>1)]'",
    "1",
    "-2",
    "0",
    "3.5",
    "99999999999999999999",
    "true",
    "null",
    "é",
    "\ud83d",
]

TEXTS = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join),
    st.text(max_size=60),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=25).map("".join),
)


@given(TEXTS, TEXTS)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_text_renders_or_is_refused(template, body):
    variables = {
        "a": 1,
        "b": None,
        "s": "some text",
        "l": [1, "two", [3]],
        "m": {"x": {"y": 1}},
        "util": util(),
        "input": input_of(body, {"p": "1"}, {"q": "2"}, {"h": "3"}),
        "context": quiet({"identity": {"sourceIp": "::1"}}),
    }
    with contextlib.suppress(TemplateError):
        assert isinstance(compile_template(template).render(variables), str)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
NAMES = st.sampled_from(
    [
        "length",
        "toString",
        "equals",
        "substring",
        "split",
        "replace",
        "replaceAll",
        "indexOf",
        "get",
        "put",
        "add",
        "addAll",
        "remove",
        "contains",
        "subList",
        "set",
        "keySet",
        "entrySet",
        "putAll",
        "containsValue",
        "parseInt",
        "valueOf",
        "compareTo",
        "matches",
        "charAt",
        "concat",
        "format",
        "__class__",
        "x",
    ]
)


@given(VALUES, NAMES, st.lists(VALUES, max_size=3))
@settings(max_examples=400, deadline=None)
def test_any_method_with_any_arguments(value, name, arguments):
    given_names = ", ".join(f"$p{at}" for at in range(len(arguments)))
    variables = {"v": value} | {f"p{at}": argument for at, argument in enumerate(arguments)}
    with contextlib.suppress(TemplateError):
        render(f"$v.{name}({given_names}) $v.{name} $v[$p0] #if($v == $p0)#end#if($v < $p0)#end#set($y = $v + $p0)$y", **variables)


STORE = {
    "book": [
        {"category": "reference", "author": "Rees", "price": 8.95},
        {"category": "fiction", "author": "Waugh", "price": 12.99, "isbn": "0"},
        {"category": "fiction", "author": "Melville", "price": 8.99, "isbn": "1"},
    ],
    "bicycle": {"color": "red", "price": 19.95},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.store.bicycle.color", "red"),
        ("$['store']['bicycle']['color']", "red"),
        ("store.bicycle.color", "red"),
        ("$.store.book[*].author", ["Rees", "Waugh", "Melville"]),
        ("$..author", ["Rees", "Waugh", "Melville"]),
        ("$.store.book[-1].author", "Melville"),
        ("$.store.book[0,1].price", [8.95, 12.99]),
        ("$.store.book[:2].author", ["Rees", "Waugh"]),
        ("$.store.book[?(@.isbn)].author", ["Waugh", "Melville"]),
        ("$.store.book[?(@.price < 10)].author", ["Rees", "Melville"]),
        ("$.store.book[?(@.category == 'fiction' && @.price > 10)].author", ["Waugh"]),
        ("$.store.book[?(@.author =~ /.*ees/)].price", [8.95]),
        ("$.store.book.length()", 3),
        ("$.store.none", None),
        ("$.store.book[9]", None),
        ("$..book[0].author", ["Rees"]),
        ("$.store.book[?(!@.isbn)].author", ["Rees"]),
        ("$.store['bicycle','x'].color", ["red"]),
        ("$.store.*.color", ["red"]),
    ],
)
def test_json_paths(path, expected):
    assert find_path({"store": STORE}, path) == expected


@given(
    st.lists(st.sampled_from([*"$.[]()*?@:,'\"<=>!&|~/ ", "..", "a", "[?(@.", "&&", "length()", "-1", "99", "x"]), max_size=15).map(
        "".join
    )
)
@settings(max_examples=400, deadline=None)
def test_any_json_path_finds_or_is_refused(path):
    with contextlib.suppress(JsonPathError):
        find_path({"a": [1, {"x": "y"}], "x": None}, path)


def test_rendering_is_the_same_every_time():
    template = compile_template("#set($x = $input.path('$.a'))#foreach($i in $x)$i #end")
    body = json.dumps({"a": [1, 2]})
    assert [template.render({"input": input_of(body, {}, {}, {})}) for _ in range(2)] == ["1 2 ", "1 2 "]
