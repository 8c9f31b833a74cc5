"""Reads the modules of a crate from its sources, without tests, and which of them uses which.

No compiler is asked: a crate is cut into tokens, and names are followed through `use` and `pub use` to the module that defines
them. Methods are not followed, nor what macros make.
"""

import dataclasses
import pathlib
import re

TOKEN = re.compile(
    r"""
      (?P<skip> \s+ | //[^\n]* )
    | (?P<comment> /\* )
    | (?P<raw> \b[bc]?r(?P<hashes>\#*)".*?"(?P=hashes) )
    | (?P<string> [bc]?"(?:\\.|[^"\\])*" )
    | (?P<char> b?'(?:\\u\{[^}]*\}|\\x..|\\.|[^\\'])' )
    | (?P<lifetime> '\w+ )
    | (?P<word> (?:r\#)?\w+ )
    | (?P<path> :: )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)
OPEN = {"(": ")", "[": "]", "{": "}"}
DEFINES = {"fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"}
ROOTS = {"crate", "self", "super"}


@dataclasses.dataclass(frozen=True)
class Token:
    text: str
    line: int
    is_word: bool = False


@dataclasses.dataclass(frozen=True)
class Import:
    name: str
    path: tuple
    is_public: bool
    line: int


@dataclasses.dataclass
class Module:
    path: tuple  # ("crate", "matmul", "int8")
    file: pathlib.Path
    body: list = dataclasses.field(default_factory=list)  # tokens without tests, `use` and modules
    children: set = dataclasses.field(default_factory=set)
    defined: dict = dataclasses.field(default_factory=dict)  # name → keyword that defines it
    imports: list = dataclasses.field(default_factory=list)
    lines: int = 0  # of the file, without its tests


def tokens(text):
    """Cuts Rust text into tokens; comments go, and of strings, characters and lifetimes a mark stays."""
    found, at, line = [], 0, 1
    while at < len(text):
        match = TOKEN.match(text, at)
        end = match.end()
        if match["comment"]:
            depth = 1
            while depth and (step := re.compile(r"/\*|\*/").search(text, end)):
                depth, end = depth + (1 if step[0] == "/*" else -1), step.end()
        elif match["raw"] or match["string"] or match["char"] or match["lifetime"]:
            found.append(Token('""', line))
        elif not match["skip"]:
            found.append(Token(match[0].removeprefix("r#"), line, bool(match["word"])))
        line += text.count("\n", at, end)
        at = end
    return found


def group_end(found, start):
    """The index after the bracket that closes the one at `start`."""
    depth = 0
    for index in range(start, len(found)):
        depth += (found[index].text in OPEN) - (found[index].text in OPEN.values())
        if depth == 0:
            return index + 1
    return len(found)


def item_end(found, start):
    """The index after the item, statement or field at `start`: past its semicolon, comma or block."""
    index = start
    while index < len(found) and found[index].text not in {";", ",", "}"}:
        is_block = found[index].text == "{"
        index = group_end(found, index) if found[index].text in OPEN else index + 1
        if is_block:
            return index
    return index + (index < len(found) and found[index].text != "}")


def without_tests(found):
    """Splits off what only tests compile; returns the rest and the lines that went."""
    kept, lines, index = [], set(), 0
    while index < len(found):
        if found[index].text == "#" and found[index + 1 : index + 2] and found[index + 1].text == "[":
            end = group_end(found, index + 1)
            inside = [token.text for token in found[index + 2 : end - 1]]
            if inside[:3] == ["cfg", "(", "test"] or inside[:5] == ["cfg", "(", "all", "(", "test"]:
                after = end
                while after + 1 < len(found) and found[after].text == "#" and found[after + 1].text == "[":
                    after = group_end(found, after + 1)
                after = item_end(found, after)
                lines.update(range(found[index].line, found[after - 1].line + 1))
                index = after
                continue
        kept.append(found[index])
        index += 1
    return kept, lines


def use_tree(found, index, before):
    """Reads one tree of a `use`; returns its (name, path) pairs and the index after it."""
    path, leaves = before, []
    while index < len(found):
        text = found[index].text
        if text == "{":
            end, index = group_end(found, index), index + 1
            while index < end - 1:
                more, index = use_tree(found, index, path)
                leaves += more
                index += found[index].text == ","
            return leaves, end
        if text in {",", ";", "}"}:
            break
        if text == "as":
            return [(found[index + 1].text, path)], index + 2
        if text != "::":
            path = path if text == "self" and path else (*path, text)
        index += 1
    return [(path[-1], path)], index


def is_public(found, index):
    """Whether the word at `index` has `pub` or `pub(…)` before it."""
    if index and found[index - 1].text == ")":
        while index and found[index - 1].text != "(":
            index -= 1
        index -= 1
    return index > 0 and found[index - 1].text == "pub"


def read_module(path, file, folder, found, modules):
    """Fills `modules` with the module whose tokens are `found`, and all below it. Files of children lie in `folder`."""
    module = modules[path] = Module(path, file)
    depth, index = 0, 0
    while index < len(found):
        text = found[index].text
        depth += (text in OPEN) - (text in OPEN.values())
        follows = found[index + 1].text if index + 1 < len(found) else ""
        after = found[index + 2].text if index + 2 < len(found) else ""
        if text == "use" and follows != "<":
            end = index
            while found[end].text != ";":
                end += 1
            leaves, _ = use_tree(found[:end], index + 1, ())
            module.imports += [Import(name, leaf, is_public(found, index), found[index].line) for name, leaf in leaves]
            index = end + 1
            continue
        if text == "mod" and depth == 0 and after in {";", "{"}:
            module.children.add(follows)
            child = (*path, follows)
            if after == ";":
                read_file(child, child_file(folder, follows), modules)
                index += 3
            else:
                end = group_end(found, index + 2)
                read_module(child, file, folder / follows, found[index + 3 : end - 1], modules)
                index = end
            continue
        if text in DEFINES and depth == 0:
            name = after if text == "macro_rules" or follows == "mut" else follows
            module.defined.setdefault(name, text)
        module.body.append(found[index])
        index += 1


def child_file(folder, name):
    return next((file for file in (folder / f"{name}.rs", folder / name / "mod.rs") if file.exists()), None)


def read_file(path, file, modules):
    if file is None:
        return
    text = file.read_text()
    found, test_lines = without_tests(tokens(text))
    is_root = file.name in {"mod.rs", "lib.rs", "main.rs"}
    read_module(path, file, file.parent if is_root else file.with_suffix(""), found, modules)
    modules[path].lines = len(text.splitlines()) - len(test_lines)


def read_crate(root):
    """The modules of the crate whose root file is `root`, by path."""
    modules = {}
    read_file(("crate",), root, modules)
    return modules


def resolve(modules, at, path, seen=frozenset()):
    """Follows `path` as module `at` writes it to what it names; returns the module that defines it and the name.

    `None` if another crate defines it, or if the path names a module and nothing in it.
    """
    if not path or (at, path) in seen:
        return None
    seen |= {(at, path)}
    if path[0] not in ROOTS:
        return look_up(modules, at, path, seen)
    base = ("crate",) if path[0] == "crate" else at
    rest = path[1:] if path[0] == "crate" else path
    while rest and rest[0] in {"self", "super"}:
        base, rest = (base[:-1] if rest[0] == "super" else base), rest[1:]
    return look_up(modules, base, rest, seen)


def look_up(modules, at, path, seen):
    """As [`resolve`], for a path whose first word is a name inside `at`."""
    if not path or at not in modules:
        return None
    module, (name, *rest) = modules[at], path
    if name in module.children and rest:
        return look_up(modules, (*at, name), tuple(rest), seen)
    if name in module.defined or name == "*":
        return at, name
    for imported in module.imports:
        if imported.name == name and (imported.path[0] != name or name in module.children):
            target = resolve(modules, at, (*imported.path, *rest), seen) or resolve(modules, at, imported.path, seen)
            if target:
                return target
    return None


def paths(body):
    """The paths in `body`, each as its words; a lone word is a path too, unless it names a field or what is being defined."""
    index = 0
    while index < len(body):
        if not body[index].is_word or (index and body[index - 1].text in {".", "::"}):
            index += 1
            continue
        start, words = index, [body[index].text]
        while index + 2 < len(body) and body[index + 1].text == "::" and body[index + 2].is_word:
            index += 2
            words.append(body[index].text)
        index += 1
        before = body[start - 1].text if start else ""
        follows = body[index].text if index < len(body) else ""
        if len(words) > 1 or not (before in DEFINES | {"let", "mut", "ref", "for", "|"} or follows == ":"):
            yield tuple(words), body[start].line


def uses(modules):
    """Which module uses which: module → module → a line of the user.

    A module that only passes a name on with `pub use` does not use it. A child may use the types, traits and constants of the
    modules around it, which are what they share with all their children; only calling their functions counts.
    """
    found = {path: {} for path in modules}
    for path, module in modules.items():
        wanted = [(imported.path, imported.line) for imported in module.imports if not imported.is_public]
        names = ROOTS | module.children | {imported.name for imported in module.imports}
        wanted += [(words, line) for words, line in paths(module.body) if words[0] in names]
        for words, line in wanted:
            target, name = resolve(modules, path, words) or (path, None)
            is_around = path[: len(target)] == target
            if not is_around or (target != path and modules[target].defined.get(name) == "fn"):
                found[path].setdefault(target, line)
    return found


def circles(graph):
    """The circles of `graph`, node → nodes: each as the sorted nodes of a strongly connected component of more than one."""

    def reach(start):
        seen, open_nodes = set(), [start]
        while open_nodes:
            for node in graph.get(open_nodes.pop(), ()):
                if node not in seen:
                    seen.add(node)
                    open_nodes.append(node)
        return seen

    reached = {node: reach(node) for node in graph}
    found = {tuple(sorted(other for other in reached[node] if node in reached.get(other, ()))) for node in graph if node in reached[node]}
    return sorted(circle for circle in found if len(circle) > 1)
