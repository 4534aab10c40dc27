//! Which patterns give the same groups in PostgreSQL's engine and in one that backtracks.
//!
//! PostgreSQL first fixes the whole match (the longest, or the shortest where the first quantifier
//! says so) and then divides it: of a concatenation each part in turn takes as much as it can (as
//! little, where it prefers less) so that the rest still matches; parts without groups that stand
//! side by side are one part; of an alternation the first branch that fits is taken. An engine that
//! backtracks over the same fixed text divides it in the same way if every part tries its lengths in
//! order. That is what is asked here.

use regex_syntax::hir::ClassUnicode;

use super::syntax::Node;

/// In which order the lengths of a part are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// There is one only.
    Fixed,
    Down,
    Up,
}

/// What the whole match prefers (`PREF` in PostgreSQL's `regcomp.c`): more is `true`.
pub(super) fn preference(node: &Node) -> Option<bool> {
    match node {
        Node::Empty | Node::Set(_) | Node::Look(_) => None,
        Node::Concat(list) => list.iter().find_map(preference),
        Node::Alternate(_) => Some(true),
        Node::Group(_, inner) => preference(inner),
        Node::Repeat { node, exact: true, .. } => preference(node),
        Node::Repeat { greedy, .. } => Some(*greedy),
    }
}

/// The node with its groups as plain parentheses.
pub(super) fn ungrouped(node: &Node) -> Node {
    let all = |list: &[Node]| list.iter().map(ungrouped).collect();
    match node {
        Node::Empty | Node::Set(_) | Node::Look(_) => node.clone(),
        Node::Concat(list) => Node::Concat(all(list)),
        Node::Alternate(list) => Node::Alternate(all(list)),
        Node::Group(_, inner) => ungrouped(inner),
        Node::Repeat { node, min, max, greedy, exact } => Node::Repeat {
            node: Box::new(ungrouped(node)),
            min: *min,
            max: *max,
            greedy: *greedy,
            exact: *exact,
        },
    }
}

pub(super) fn any(node: &Node, wanted: &dyn Fn(&Node) -> bool) -> bool {
    wanted(node)
        || match node {
            Node::Empty | Node::Set(_) | Node::Look(_) => false,
            Node::Concat(list) | Node::Alternate(list) => list.iter().any(|n| any(n, wanted)),
            Node::Group(_, inner) | Node::Repeat { node: inner, .. } => any(inner, wanted),
        }
}

fn has_group(node: &Node) -> bool {
    any(node, &|n| matches!(n, Node::Group(..)))
}

/// A group inside something that repeats keeps, in PostgreSQL, only what its last turn gave it.
pub(super) fn repeats_group(node: &Node) -> bool {
    any(
        node,
        &|n| matches!(n, Node::Repeat { node, max, .. } if *max != Some(1) && has_group(node)),
    )
}

/// The pattern without the constraints at its ends, which hold whatever is between them; `None` when
/// there are more inside.
pub(super) fn inner(node: &Node) -> Option<Node> {
    let is_look = |node: &Node| matches!(node, Node::Look(_));
    let mut list = match node {
        Node::Concat(list) => list.clone(),
        other => vec![other.clone()],
    };
    while list.last().is_some_and(is_look) {
        list.pop();
    }
    let start = list.iter().take_while(|node| is_look(node)).count();
    let kept = Node::Concat(list.split_off(start));
    (!any(&kept, &is_look)).then_some(kept)
}

fn least(node: &Node) -> u64 {
    match node {
        Node::Empty | Node::Look(_) => 0,
        Node::Set(_) => 1,
        Node::Concat(list) => list.iter().map(least).sum(),
        Node::Alternate(list) => list.iter().map(least).min().unwrap_or(0),
        Node::Group(_, inner) => least(inner),
        Node::Repeat { node, min, .. } => least(node).saturating_mul(u64::from(*min)),
    }
}

/// The number of characters, when all matches have the same.
fn fixed(node: &Node) -> Option<u64> {
    match node {
        Node::Empty | Node::Look(_) => Some(0),
        Node::Set(_) => Some(1),
        Node::Concat(list) => list.iter().map(fixed).sum(),
        Node::Alternate(list) => {
            let first = fixed(list.first()?)?;
            list.iter().all(|branch| fixed(branch) == Some(first)).then_some(first)
        }
        Node::Group(_, inner) => fixed(inner),
        Node::Repeat { node, min, max, .. } => {
            let times = max.filter(|max| max == min)?;
            Some(fixed(node)?.saturating_mul(u64::from(times)))
        }
    }
}

/// The characters that a match can begin with, for what is never empty.
fn first(node: &Node) -> Option<ClassUnicode> {
    match node {
        Node::Set(set) => Some(set.clone()),
        Node::Concat(list) => {
            let mut found = ClassUnicode::empty();
            for part in list.iter().filter(|part| !matches!(part, Node::Empty)) {
                found.union(&begin(part)?);
                if least(part) > 0 {
                    return Some(found);
                }
            }
            None
        }
        _ if least(node) == 0 => None,
        _ => begin(node),
    }
}

/// The characters that a match can begin with if it is not empty.
fn begin(node: &Node) -> Option<ClassUnicode> {
    match node {
        Node::Empty | Node::Look(_) => None,
        Node::Set(set) => Some(set.clone()),
        Node::Concat(_) => first(node),
        Node::Alternate(list) => {
            let mut found = ClassUnicode::empty();
            for branch in list {
                found.union(&begin(branch)?);
            }
            Some(found)
        }
        Node::Group(_, inner) | Node::Repeat { node: inner, .. } => begin(inner),
    }
}

/// True when at most one branch can match at any place.
fn apart(list: &[Node]) -> bool {
    let literal = |node: &Node| -> Option<Vec<ClassUnicode>> {
        let parts = match node {
            Node::Concat(parts) => parts.as_slice(),
            other => std::slice::from_ref(other),
        };
        let set = |part: &Node| match part {
            Node::Set(set) => Some(set.clone()),
            _ => None,
        };
        parts.iter().map(set).collect()
    };
    let disjoint = |a: &ClassUnicode, b: &ClassUnicode| {
        let mut both = a.clone();
        both.intersect(b);
        both.ranges().is_empty()
    };
    let two = |a: &Node, b: &Node| match (first(a), first(b)) {
        (Some(x), Some(y)) if disjoint(&x, &y) => true,
        // Two strings that differ before one of them ends.
        _ => match (literal(a), literal(b)) {
            (Some(a), Some(b)) => a.iter().zip(&b).any(|(a, b)| disjoint(a, b)),
            _ => false,
        },
    };
    list.iter().enumerate().all(|(i, a)| list[i + 1..].iter().all(|b| two(a, b)))
}

/// The order in which the part's lengths are tried, if it is one, and if for each length the groups
/// in it are certain.
fn order(node: &Node) -> Option<Order> {
    let found = if fixed(node).is_some() && !has_group(node) {
        Order::Fixed
    } else {
        order_of_parts(node)?
    };
    // PostgreSQL goes by the first quantifier, whether that one decides or not.
    let agrees = match found {
        Order::Fixed => true,
        Order::Down => preference(node) == Some(true),
        Order::Up => preference(node) == Some(false),
    };
    agrees.then_some(found)
}

fn order_of_parts(node: &Node) -> Option<Order> {
    match node {
        Node::Empty | Node::Look(_) | Node::Set(_) => Some(Order::Fixed),
        Node::Group(_, inner) => order(inner),
        Node::Concat(list) => {
            let mut found = Order::Fixed;
            for part in list {
                match order(part)? {
                    Order::Fixed => {}
                    own if found == Order::Fixed => found = own,
                    _ => return None,
                }
            }
            Some(found)
        }
        Node::Alternate(list) => {
            let orders: Option<Vec<Order>> = list.iter().map(order).collect();
            let orders = orders?;
            if fixed(node).is_some() {
                return Some(Order::Fixed);
            }
            (apart(list) && !orders.contains(&Order::Up)).then_some(Order::Down)
        }
        Node::Repeat { node: inner, min, max, greedy, .. } => {
            let own = if *greedy { Order::Down } else { Order::Up };
            if *max == Some(1) {
                let inside = order(inner)?;
                if *min == 1 {
                    return Some(inside);
                }
                let fits = inside == Order::Fixed || inside == own;
                return (fits && least(inner) > 0).then_some(own);
            }
            let steps = fixed(inner).is_some_and(|length| length > 0);
            (steps && !has_group(inner)).then_some(own)
        }
    }
}

/// True when the groups of a match of this fixed text are certain.
pub(super) fn certain(node: &Node) -> bool {
    match node {
        Node::Group(_, inner) => certain(inner),
        Node::Repeat { node: inner, max, .. } if has_group(inner) => {
            *max == Some(1) && least(inner) > 0 && certain(inner)
        }
        Node::Alternate(list) => list.iter().all(certain),
        Node::Concat(list) => {
            let mut parts: Vec<Vec<Node>> = Vec::new();
            for part in list {
                match parts.last_mut() {
                    Some(run) if !has_group(part) && !run.iter().any(has_group) => {
                        run.push(part.clone());
                    }
                    _ => parts.push(vec![part.clone()]),
                }
            }
            let parts: Vec<Node> = parts.into_iter().map(Node::Concat).collect();
            parts.iter().enumerate().all(|(i, part)| {
                let rest_is_fixed = parts[i + 1..].iter().all(|rest| fixed(rest).is_some());
                match part {
                    Node::Concat(run) if rest_is_fixed && run.len() == 1 => certain(&run[0]),
                    _ if rest_is_fixed && !has_group(part) => true,
                    _ => order(part).is_some(),
                }
            })
        }
        _ => true,
    }
}
