//! What a normalizer can try when it is called, and what is told of it.

use crate::hostile::guest::{FOR_EVER, Guest, WELL};

/// Something that a normalizer does when it is called.
pub(crate) struct Attempt {
    pub(crate) name: &'static str,
    pub(crate) guest: Guest,
    /// What is told, or a part of it.
    pub(crate) told: &'static str,
    /// Whether it goes on until its time is up.
    pub(crate) lasts: bool,
}

/// What ends when its time is up.
const TIME: &str = "over its limit: 100 ms on the processor";

fn lasting(name: &'static str, guest: Guest) -> Attempt {
    Attempt { name, guest, told: TIME, lasts: true }
}

fn passing(name: &'static str, told: &'static str, guest: Guest) -> Attempt {
    Attempt { name, guest, told, lasts: false }
}

/// In the order of the matrix. An answer stands at 256: `result`'s case, at 260 the list or `failure`'s case, at 264
/// that one's text.
pub(crate) fn attempts() -> Vec<Attempt> {
    let calling = |normalize| Guest { normalize, ..WELL };
    vec![
        lasting("loop-in-export", calling("(loop $for_ever (br $for_ever)) (i32.const 0)")),
        lasting(
            "loop-in-start",
            Guest { items: "(func $start (loop $for_ever (br $for_ever))) (start $start)", ..WELL },
        ),
        lasting(
            "loop-in-destructor",
            Guest {
                destructor: FOR_EVER,
                ..calling(
                    "(call $own_drop (call $own_new (i32.const 1))) (call $drop (local.get 0)) (i32.const 0)",
                )
            },
        ),
        lasting("loop-in-post-return", Guest { post_return: FOR_EVER, ..WELL }),
        lasting(
            "loop-in-realloc",
            Guest {
                realloc: "(loop $for_ever (br $for_ever)) (i32.const 0)",
                ..calling("(call $body (local.get 0) (i32.const 64)) (call $drop (local.get 0)) (i32.const 0)")
            },
        ),
        passing(
            "memory-bomb",
            "over its limit: 67108864 bytes of memory",
            calling("(loop $more (drop (memory.grow (i32.const 16))) (br $more)) (i32.const 0)"),
        ),
        passing(
            "two-memories",
            "over its limit: 67108864 bytes of memory",
            Guest {
                items: "(memory $other 1)",
                ..calling(
                    "(drop (memory.grow (i32.const 640))) (drop (memory.grow $other (i32.const 640))) (i32.const 0)",
                )
            },
        ),
        passing(
            "two-memories-at-once",
            "over its limit: 67108864 bytes of memory",
            Guest { memory: "640", items: "(memory $other 640)", ..WELL },
        ),
        passing(
            "data-beyond-memory",
            "trapped: wasm trap: out of bounds memory access",
            Guest { items: r#"(data (i32.const 65530) "more than there is room for")"#, ..WELL },
        ),
        passing(
            "table-bomb",
            "over its limit: 100000 table elements",
            calling("(loop $more (drop (table.grow (ref.null func) (i32.const 1000))) (br $more)) (i32.const 0)"),
        ),
        passing(
            "recursion",
            "over its limit: a stack of 524288 bytes",
            Guest {
                items: "(func $deep (param i32) (result i32)
                    (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))",
                ..calling("(call $deep (i32.const 1))")
            },
        ),
        passing(
            "recursion-in-destructors",
            "over its limit: a stack of 524288 bytes",
            Guest {
                destructor: "(call_indirect (type $destructor) (local.get 0) (i32.const 0))",
                items: "(func $again (param i32) (call $own_drop (call $own_new (local.get 0))))
                    (elem (i32.const 0) $again)",
                ..calling("(call $again (i32.const 1)) (i32.const 0)")
            },
        ),
        passing(
            "recursion-through-the-host",
            "trapped: wasm trap: cannot leave component instance",
            Guest {
                realloc: "(call_indirect (type $realloc)
                    (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 0))",
                items: "(func $again (param i32 i32 i32 i32) (result i32)
                    (call $body (i32.const 1) (i32.const 64)) (i32.const 0))
                    (elem (i32.const 0) $again)",
                ..calling("(call $body (local.get 0) (i32.const 64)) (i32.const 0)")
            },
        ),
        passing(
            "list-without-end",
            "trapped: it broke the contract: list pointer/length out of bounds of memory",
            calling(
                "(i32.store (i32.const 264) (i32.const -1)) (call $drop (local.get 0)) (i32.const 256)",
            ),
        ),
        passing(
            // 300 drafts that are the same MiB of memory.
            "drafts-that-overlap",
            "bytes passed to the host at once",
            Guest {
                memory: "32",
                items: "(func $overlap (local $at i32)
                    (loop $more
                        (i32.store offset=1028 (local.get $at) (i32.const 0x100000))
                        (local.set $at (i32.add (local.get $at) (i32.const 8)))
                        (br_if $more (i32.lt_u (local.get $at) (i32.const 2400)))))",
                ..calling(
                    "(call $overlap) (i32.store (i32.const 260) (i32.const 1024))
                    (i32.store (i32.const 264) (i32.const 300)) (call $drop (local.get 0)) (i32.const 256)",
                )
            },
        ),
        passing(
            "text-that-is-not-utf8",
            "trapped: it broke the contract: invalid utf-8 sequence of 1 bytes from index 0",
            calling(
                "(i32.store8 (i32.const 256) (i32.const 1)) (i32.store (i32.const 264) (i32.const 512))
                (i32.store (i32.const 268) (i32.const 3)) (i32.store (i32.const 512) (i32.const -1))
                (call $drop (local.get 0)) (i32.const 256)",
            ),
        ),
        passing(
            "case-that-result-has-not",
            "trapped: it broke the contract: invalid expected discriminant",
            calling("(i32.store8 (i32.const 256) (i32.const 7)) (call $drop (local.get 0)) (i32.const 256)"),
        ),
        passing(
            "case-that-failure-has-not",
            "trapped: it broke the contract: unexpected discriminant: 9",
            calling(
                "(i32.store8 (i32.const 256) (i32.const 1)) (i32.store8 (i32.const 260) (i32.const 9))
                (call $drop (local.get 0)) (i32.const 256)",
            ),
        ),
        passing("answer-not-aligned", "trapped: it broke the contract: return pointer not aligned", calling("(call $drop (local.get 0)) (i32.const 257)")),
        passing("answer-beyond-memory", "trapped: it broke the contract: pointer out of bounds of memory", calling("(call $drop (local.get 0)) (i32.const -16)")),
        passing(
            "level-that-log-has-not",
            "trapped: it broke the contract: unexpected discriminant: 77",
            calling(
                "(call $log (i32.const 77) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 0)",
            ),
        ),
        passing(
            "log-flood",
            "over its limit: 10000 host calls",
            calling(
                "(loop $more (call $log (i32.const 2) (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 0))
                (br $more)) (i32.const 0)",
            ),
        ),
        passing(
            "log-line-of-10-megabytes",
            "bytes passed to the host at once",
            Guest {
                memory: "160",
                ..calling(
                    "(call $log (i32.const 2) (i32.const 0) (i32.const 10000000) (i32.const 0) (i32.const 0))
                    (i32.const 0)",
                )
            },
        ),
        passing(
            "handle-flood",
            "handles at one time",
            calling("(loop $more (drop (call $own_new (i32.const 1))) (br $more)) (i32.const 0)"),
        ),
        passing("handle-kept", "trapped: it broke the contract: borrow handles still remain at the end of the call", calling("(i32.const 0)")),
        passing(
            "handle-given-back-twice",
            "trapped: it broke the contract: unknown handle index 1",
            calling("(call $drop (local.get 0)) (call $drop (local.get 0)) (i32.const 0)"),
        ),
    ]
}
