//! No circle of modules: among the modules of one level, production code depends in one direction. In the node that direction
//! is set: its rooms have an order.
//!
//! A module and its own submodules are one thing here; between two that stand beside each other, every path counts that
//! begins with `crate::` or `super::`, in imports and in code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The source directories of the workspace's crates.
fn crates() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut crates = vec![root.join("integration-tests/src")];
    for group in ["core", "plugins", "integration-tests"] {
        for entry in std::fs::read_dir(root.join(group)).unwrap() {
            crates.push(entry.unwrap().path().join("src"));
        }
    }
    crates.retain(|sources| sources.is_dir());
    crates
}

type Module = Vec<String>;

/// Every module of a crate that is a file, with what is in it. The crate itself is the empty path.
fn modules(sources: &Path) -> BTreeMap<Module, String> {
    let mut modules = BTreeMap::new();
    let mut left = vec![sources.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
                continue;
            }
            let relative = path.strip_prefix(sources).unwrap().with_extension("");
            let mut module: Module = relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            if matches!(module.last().map(String::as_str), Some("lib" | "main")) {
                module.pop();
            }
            let is_test = module.iter().any(|part| matches!(part.as_str(), "tests" | "bin" | "sabotage"));
            if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
                modules.insert(module, production(&std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    modules
}

/// Code without comments, and without what is compiled for tests alone.
fn production(text: &str) -> String {
    let code = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
    let mut kept = String::new();
    let mut rest = code.as_str();
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        // An item ends with its block, or with a semicolon before one.
        let end = match (after.find(';'), after.find('{')) {
            (Some(semicolon), brace) if brace.is_none_or(|brace| semicolon < brace) => semicolon + 1,
            (_, Some(brace)) => brace + block_len(&after[brace..]),
            _ => after.len(),
        };
        rest = &after[end..];
    }
    kept.push_str(rest);
    kept
}

fn without_comment(line: &str) -> &str {
    let is_comment = |at: usize| line[..at].matches('"').count().is_multiple_of(2);
    let start = line.match_indices("//").map(|(at, _)| at).find(|at| is_comment(*at));
    &line[..start.unwrap_or(line.len())]
}

fn block_len(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// The paths that code of this module names, from the crate down.
fn paths(code: &str, module: &Module) -> Vec<Module> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let is_word =
            code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
        if !is_word {
            expand(&code[at + "crate::".len()..], Vec::new(), &mut paths);
        }
    }
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("::") || code[..at].ends_with("pub(in ") {
            continue;
        }
        let mut rest = &code[at..];
        let mut base = module.clone();
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        expand(rest, base, &mut paths);
    }
    paths
}

/// What `a::{b, c::d}` stands for.
fn expand(text: &str, base: Module, paths: &mut Vec<Module>) {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let after = &text[word.len()..];
    let mut path = base;
    if !word.is_empty() {
        path.push(word);
    }
    if let Some(after) = after.strip_prefix("::") {
        return expand(after, path, paths);
    }
    if !after.starts_with('{') {
        return paths.push(path);
    }
    let group = &after[1..block_len(after).saturating_sub(1)];
    let mut start = 0;
    let mut depth = 0;
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(group[start..at].trim(), path.clone(), paths);
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Which of the modules that stand beside each other name which, below each module.
fn levels(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> {
    let mut levels: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, code) in modules {
        for path in paths(code, module) {
            let shared = module.iter().zip(&path).take_while(|(one, other)| one == other).count();
            let (Some(from), Some(to)) = (module.get(shared), path.get(shared)) else { continue };
            let beside: Module = [&module[..shared], std::slice::from_ref(to)].concat();
            if modules.contains_key(&beside) {
                let level = levels.entry(module[..shared].to_vec()).or_default();
                level.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    levels
}

/// A circle, if there is one: each names the next, and the last the first.
fn circle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        at: &str,
        edges: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|known| known == at) {
            return Some(way[start..].to_vec());
        }
        if done.contains(at) {
            return None;
        }
        way.push(at.to_owned());
        let found = edges.get(at).into_iter().flatten().find_map(|next| walk(next, edges, way, done));
        way.pop();
        done.insert(at.to_owned());
        found
    }
    edges.keys().find_map(|start| walk(start, edges, &mut Vec::new(), &mut BTreeSet::new()))
}

/// The rooms of `core/node`, from the top down: each uses those after it and no other.
const NODE_ROOMS: [&str; 7] = ["cli", "node", "observe", "memory", "net", "config", "files"];

/// The larger rooms of its `net`, likewise; what stands beside them serves several.
const NET_ROOMS: [&str; 5] = ["head", "reachability", "requests", "routing", "heads"];

/// The arrows that do not point down: to a room above, or past the rooms to a name that the crate exports.
fn not_downward(modules: &BTreeMap<Module, String>, rooms: &[&str]) -> BTreeSet<String> {
    let floor = |path: &Module| rooms.iter().position(|room| path.first().is_some_and(|first| first == room));
    let mut wrong = BTreeSet::new();
    for (module, code) in modules.iter().filter(|(module, _)| !module.is_empty()) {
        let here = floor(module);
        if here.is_none() {
            wrong.insert(format!("{} is in no room", module.join("::")));
        }
        let up = paths(code, module).into_iter().filter(|path| floor(path).is_none() || floor(path) < here);
        wrong.extend(up.map(|path| format!("{} uses {}", module.join("::"), path.join("::"))));
    }
    wrong
}

#[test]
fn the_rooms_of_the_node_use_only_those_below_them() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("core/node/src");
    let modules = modules(&sources);
    for room in NODE_ROOMS {
        assert!(modules.contains_key(&vec![room.to_owned()]), "there is no room {room}");
    }
    let wrong = not_downward(&modules, &NODE_ROOMS);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let levels = levels(&modules);
    let arrows = &levels[&vec!["net".to_owned()]];
    for (floor, room) in NET_ROOMS.iter().enumerate() {
        assert!(modules.contains_key(&vec!["net".to_owned(), (*room).to_owned()]), "there is no room {room}");
        let used = arrows.get(*room).into_iter().flatten();
        let up = used.filter(|used| NET_ROOMS[..floor].contains(&used.as_str()));
        assert_eq!(up.collect::<Vec<_>>(), [""; 0], "net::{room} uses rooms above it");
    }
}

#[test]
fn an_arrow_that_does_not_point_down_is_found() {
    let wrong = |files: &[(&str, &str)]| {
        let module = |name: &str| name.split("::").map(str::to_owned).collect();
        let modules = files.iter().map(|(name, code)| (module(name), production(code))).collect();
        Vec::from_iter(not_downward(&modules, &["above", "below"]))
    };
    assert_eq!(wrong(&[("above::a", "use crate::below::{b, c};"), ("below::b", "use super::c;")]), [""; 0]);
    assert_eq!(wrong(&[("below::b", "use crate::above::A;")]), ["below::b uses above::A"]);
    assert_eq!(wrong(&[("below::b", "fn f() { super::super::above::g() }")]), ["below::b uses above::g"]);
    assert_eq!(wrong(&[("below::b", "use crate::Exported;")]), ["below::b uses Exported"]);
    assert_eq!(wrong(&[("beside", "use crate::below::b;")]), ["beside is in no room"]);
}

#[test]
fn modules_form_no_circle_in_any_crate() {
    let mut circles = Vec::new();
    for sources in crates() {
        for (above, edges) in levels(&modules(&sources)) {
            if let Some(circle) = circle(&edges) {
                circles.push(format!("{} {}: {}", sources.display(), above.join("::"), circle.join(" -> ")));
            }
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found_whether_imports_or_paths_make_it() {
    let tree = |files: &[(&str, &str)]| -> Vec<Vec<String>> {
        let module =
            |name: &str| name.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let modules = files.iter().map(|(name, code)| (module(name), production(code))).collect();
        levels(&modules).values().filter_map(circle).collect()
    };
    let circle = [vec!["a".to_owned(), "b".to_owned()]];
    assert_eq!(
        tree(&[("", "mod a; mod b;"), ("a", "use crate::b::B;"), ("b", "fn f() { crate::a::g() }")]),
        circle
    );
    assert_eq!(tree(&[("r", ""), ("r::a", "use super::{b, c};"), ("r::b", "use crate::r::{a::X};")]), circle);
    assert_eq!(tree(&[("a", "use crate::{c, b};"), ("b", ""), ("b::d", "use crate::a;")]), circle);
    let fine = [
        ("a", "use crate::b::B; // use crate::c"),
        ("b", "mod d;\n#[cfg(test)]\nmod tests { use crate::a; }"),
        ("b::d", "use super::B;"),
        ("c", "use crate::{a::A, b::{d, B}};"),
    ];
    assert_eq!(tree(&fine), [] as [Vec<String>; 0]);
}
