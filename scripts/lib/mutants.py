"""All mutants of a crate in one build: each stands beside the code that it changes, behind a switch that has its number.

    a + b    becomes    (if on(7) { a - b } else if on(8) { a * b } else { a + b })

What cargo-mutants would change, and how, is its own list (`cargo mutants --list --json`); nothing is added. The switch is a
function at the end of lib.rs that looks which number is asked for, or, when the tests run as they are, notes which test passed
which switch. Constants can't be switched, and are left to cargo-mutants; what the compiler refuses is not viable.
"""

import collections
import re

import tree_sitter
import tree_sitter_rust

# RUSTC_BOOTSTRAP lets the stable compiler take the two features; with them also functions that are `const` can be switched.
FEATURES = """#![feature(core_intrinsics, const_eval_select, const_trait_impl)]
#![allow(internal_features, unused_parens, unused_braces, unreachable_code, unused_variables, unused_mut, dead_code, missing_docs)]
#![allow(arithmetic_overflow, unconditional_panic, unconditional_recursion, overflowing_literals, clippy::all)]
"""
SWITCH = """
#[doc(hidden)]
pub mod mutants {
    use std::io::Write;
    static ASKED: std::sync::OnceLock<(u32, Option<std::fs::File>)> = std::sync::OnceLock::new();
    thread_local! { static SEEN: std::cell::RefCell<Vec<bool>> = std::cell::RefCell::default(); }
    pub const fn on(number: u32) -> bool {
        core::intrinsics::const_eval_select((number,), never, asked)
    }
    const fn never(_: u32) -> bool {
        false
    }
    fn asked(number: u32) -> bool {
        let (asked, trace) = ASKED.get_or_init(|| {
            let number = std::env::var("MUTANT").ok().and_then(|text| text.parse().ok());
            let trace = std::env::var("MUTANTS_TRACE").ok();
            let trace = trace.map(|path| std::fs::File::options().append(true).create(true).open(path).expect("a trace"));
            (number.unwrap_or(u32::MAX), trace)
        });
        if let Some(mut file) = trace.as_ref() {
            if SEEN.try_with(|seen| is_fresh(&mut seen.borrow_mut(), number as usize)).unwrap_or(true) {
                let thread = std::thread::current();
                let line = format!("{}\\t{number}\\n", thread.name().unwrap_or("-"));
                file.write_all(line.as_bytes()).expect("a trace");
            }
        }
        *asked == number
    }
    fn is_fresh(seen: &mut Vec<bool>, number: usize) -> bool {
        if seen.len() <= number {
            seen.resize(number + 1, false);
        }
        !std::mem::replace(&mut seen[number], true)
    }
}
"""
CONSTANT = {"const_item", "static_item", "array_type", "const_block", "enum_variant"}


class Source:
    """One file, and the mutants in it: [(number, mutant of cargo-mutants' list)]."""

    def __init__(self, text, mutants):
        self.text = text.encode()
        self.mutants = mutants
        self.tree = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language())).parse(self.text)
        # The byte at which each line begins; columns of the list count characters.
        self.lines = [0] + [at + 1 for at, byte in enumerate(self.text) if byte == 10]
        self.wrapped = collections.defaultdict(list)  # node → mutants
        self.inserted = collections.defaultdict(list)  # byte at which a body begins → mutants
        self.left = {}  # number → why it can't be switched
        for number, mutant in mutants:
            why = self.place(number, mutant)
            if why:
                self.left[number] = why

    def at(self, place):
        begin = self.lines[place["line"] - 1]
        end = self.lines[place["line"]] if place["line"] < len(self.lines) else len(self.text)
        return begin + len(self.text[begin:end].decode()[: place["column"] - 1].encode())

    def place(self, number, mutant):
        """Finds the node that this mutant changes; says why there is none."""
        begin, end = self.at(mutant["span"]["start"]), self.at(mutant["span"]["end"])
        genre = mutant["genre"]
        if genre == "FnValue":
            if "impl " in mutant["function"]["return_type"]:
                return "one type alone"  # two returns of `impl Trait` have to be of one type
            self.inserted[begin].append((number, mutant))
            return None
        node = self.tree.root_node.descendant_for_byte_range(begin, max(begin, end - 1))
        wanted = {
            "BinaryOperator": ("binary_expression", "compound_assignment_expr", "let_chain"),
            "UnaryOperator": ("unary_expression",),
            "MatchArm": ("match_arm",),
            "MatchArmGuard": ("match_pattern",),
            "StructField": ("field_initializer", "shorthand_field_initializer"),
        }[genre]
        while node is not None and node.type not in wanted:
            node = node.parent
        if node is None:
            return "no such place"
        if node.type == "let_chain":
            return "unviable"  # `||` beside `let`
        above = node
        while above is not None and above.type not in ("function_item", "closure_expression"):
            if above.type in CONSTANT:
                return "a constant"
            above = above.parent
        self.wrapped[node.id].append((number, mutant))
        return None

    def plain(self, node):
        return self.text[node.start_byte : node.end_byte].decode()

    def rendered(self):
        return self.render(self.tree.root_node)

    def render(self, node):
        own = self.wrapped.get(node.id)
        if own:
            return getattr(self, node.type)(node, own)
        return self.pieces(node)

    def pieces(self, node):
        """The node's text, with what is in it rendered."""
        out, at = [], node.start_byte
        for child in node.children:
            out.append(self.text[at : child.start_byte].decode())
            if node.type == "block" and child.start_byte in self.inserted:
                out += [f"if {on(number)} {{ {region(number, 'return ' + mutant['replacement'] + ';')} }}\n" for number, mutant in self.inserted[child.start_byte]]
            out.append(self.render(child))
            at = child.end_byte
        out.append(self.text[at : node.end_byte].decode())
        return "".join(out)

    def choice(self, own, changed, kept):
        """`changed(mutant)` is the code with the change."""
        branches = "".join(f"if {on(number)} {{ {region(number, changed(mutant))} }} else " for number, mutant in own)
        return around((number for number, _ in own), f"({branches}{{ {kept}\n}})")

    def binary_expression(self, node, own):
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = self.plain(node.child_by_field_name("operator"))
        kept = f"{self.render(left)}\n{operator} {self.render(right)}"
        return self.choice(own, lambda mutant: f"{self.plain(left)}\n{mutant['replacement']} {self.plain(right)}\n", kept)

    compound_assignment_expr = binary_expression

    def unary_expression(self, node, own):
        operand = node.children[-1]
        kept = f"{self.plain(node.children[0])}{self.render(operand)}"
        return self.choice(own, lambda _: f"{self.plain(operand)}\n", kept)

    def match_arm(self, node, own):
        pattern = node.child_by_field_name("pattern")
        out, at = [], node.start_byte
        for child in node.children:
            out.append(self.text[at : child.start_byte].decode())
            out.append(self.render(child))
            if child.id == pattern.id:
                out.append(" if " + around((number for number, _ in own), " && ".join(f"!{on(number)}" for number, _ in own)))
            at = child.end_byte
        return "".join(out)

    def match_pattern(self, node, own):
        guard = node.child_by_field_name("condition")
        kept = self.render(guard)
        text = f"({kept}\n)"
        for number, mutant in own:
            text = f"({on(number)} || {text})" if mutant["replacement"] == "true" else f"(!{on(number)} && {text})"
        head = self.text[node.start_byte : guard.start_byte].decode()
        return head + around((number for number, _ in own), text)

    def field_initializer(self, node, own):
        base = next(child for child in node.parent.children if child.type == "base_field_initializer")
        base = self.plain(base).removeprefix("..")
        if node.type == "shorthand_field_initializer":
            name = kept = self.plain(node)
        else:
            name, kept = self.plain(node.child_by_field_name("field")), self.render(node.child_by_field_name("value"))
        return f"{name}: " + self.choice(own, lambda _: f"({base}).{name}", kept)

    shorthand_field_initializer = field_initializer


def on(number):
    return f"crate::mutants::on({number})"


def region(key, code):
    """Code that belongs to a mutant, or (`w…`) to all that can be chosen in one place: what the compiler says of it is said of them."""
    return f"/*<{key}*/ {code} /*{key}>*/"


def around(numbers, code):
    return region("w" + "+".join(str(number) for number in numbers), code)


def blamed(text, begin, end):
    """The mutants of the smallest region around these bytes, else of one within them; and whether it is a mutant's own change."""
    regions = []
    for found in re.finditer(rb"/\*<(w?[0-9+]+)\*/", text):
        closes = text.index(b"/*" + found[1] + b">*/", found.end())
        if found.start() <= begin and end <= closes:
            regions.append((0, closes - found.start(), found[1].decode()))
        elif begin <= found.start() and closes <= end:
            regions.append((1, closes - found.start(), found[1].decode()))
    if not regions:
        return [], False
    key = min(regions)[2]
    return [int(number) for number in key.removeprefix("w").split("+")], not key.startswith("w")
