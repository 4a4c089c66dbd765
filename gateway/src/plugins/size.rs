//! What a component takes before it runs. What it can never have is told when it is loaded, not at every call.

use crate::plugins::engine::{Host, TABLE_ELEMENTS_MAX, TABLES_PER_INSTANCE};
use crate::plugins::{Limits, LoadError};
use wasmtime::component::Component;

/// Bytes of a page of memory, which sizes are counted in (WebAssembly 2.0, 4.2.8).
pub(super) const PAGE_BYTES: u64 = 64 << 10;

/// How many places of the pool a call takes, if it can have what the component begins with.
///
/// Only the largest of its memories is seen here. That all together are too large is found by the call, whose limiter
/// adds them up.
pub(super) fn places(
    host: &Host,
    plugin: &str,
    component: &Component,
    limits: &Limits,
) -> Result<u32, LoadError> {
    let refuse = |why| Err(LoadError::Size { plugin: plugin.to_owned(), why });
    let Some(needed) = component.resources_required() else {
        return refuse("takes a core module from outside, and nobody can say how large that is".to_owned());
    };
    let memory = needed.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE_BYTES);
    if memory > limits.memory as u64 {
        return refuse(format!(
            "begins with {memory} bytes of memory, but may have {}: build it with less, or raise its limit",
            limits.memory
        ));
    }
    let elements = needed.max_initial_table_size.unwrap_or(0);
    if elements > TABLE_ELEMENTS_MAX as u64 {
        return refuse(format!(
            "begins with a table of {elements} elements, but may have {TABLE_ELEMENTS_MAX}"
        ));
    }
    let (memories, tables) = (needed.num_memories, needed.num_tables);
    let places = memories.max(tables.div_ceil(TABLES_PER_INSTANCE)).max(1);
    if places as usize > host.options.instances {
        return refuse(format!(
            "has {memories} memories and {tables} tables, more than the whole pool of {} instances",
            host.options.instances
        ));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::Options;

    #[test]
    fn a_component_takes_the_places_it_needs_and_what_has_none_is_refused() {
        let host = Host::start(Options { instances: 3, ..Options::default() }, false).unwrap();
        let table = "(core module $t (table 1 funcref)) (core instance (instantiate $t))";
        let memory = "(core module $m (memory 1)) (core instance (instantiate $m))";
        let again = "(core instance (instantiate $m))";
        let cases = [
            (String::new(), Ok(1)),
            (memory.to_owned(), Ok(1)),
            (format!("{memory} {table}"), Ok(1)),
            (format!("{memory} {again} {again}"), Ok(3)),
            (format!("{table} (core instance (instantiate $t)) (core instance (instantiate $t))"), Ok(2)),
            (format!("{memory} {again} {again} {again}"), Err("has 4 memories and 0 tables, more than")),
            (
                memory.replace("(memory 1)", "(memory 1025)"),
                Err("begins with 67174400 bytes of memory, but may have 67108864"),
            ),
        ];
        for (text, expected) in cases {
            let component = wat::parse_str(format!("(component {text})")).unwrap();
            let component = Component::new(&host.engine, component).unwrap();
            match (places(&host, "p", &component, &Limits::default()), expected) {
                (Ok(places), Ok(expected)) => assert_eq!(places, expected, "{text}"),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().starts_with(&format!("plugin `p`: {expected}")), "{error}")
                }
                (found, _) => panic!("{text}: {:?}", found.map_err(|error| error.to_string())),
            }
        }
    }
}
