//! Components written by hand, for what no compiler makes.

use bytes::Bytes;

/// A normalizer, of which each part is a piece of WebAssembly text.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// The type of its first memory: pages of 64 KiB.
    pub(crate) memory: &'static str,
    /// What the exported function does: the handle of the webhook in local 0, the address of the answer as its result.
    pub(crate) normalize: &'static str,
    /// More items of the core module that the function is in.
    pub(crate) items: &'static str,
    /// What the host calls for room in the guest's memory.
    pub(crate) realloc: &'static str,
    /// What is called when the answer was read.
    pub(crate) post_return: &'static str,
    /// What is called when a resource of the guest's own is dropped.
    pub(crate) destructor: &'static str,
    /// The imports of the component beside those that every one of these has.
    pub(crate) imports: &'static str,
    /// What of the imports is lowered for the core module, and what the module is given of it.
    pub(crate) lowered: &'static str,
    /// See `lowered`.
    pub(crate) with: &'static str,
    /// More lines of its manifest.
    pub(crate) manifest: &'static str,
    /// The JSON Schema of its configuration.
    pub(crate) schema: &'static str,
}

/// A piece that never ends.
pub(crate) const FOR_EVER: &str = "(loop $for_ever (br $for_ever))";

/// A function that gives its handle back and answers "no drafts", which zeroed memory means.
const NO_DRAFTS: &str = "(call $drop (local.get 0)) (i32.const 0)";

/// One that behaves.
pub(crate) const WELL: Guest = Guest {
    memory: "1",
    normalize: NO_DRAFTS,
    items: "",
    realloc: "(i32.const 4096)",
    post_return: "",
    destructor: "",
    imports: "",
    lowered: "",
    with: "",
    manifest: "",
    schema: "{}",
};

/// Two core modules, so that what is lowered can use memory and `realloc` of the first, and the second what is lowered.
/// The first reaches functions of the second through the table, as components that compilers make do.
const TEMPLATE: &str = r#"
(component
  (import "billhook:plugin/types@0.1.0" (instance $types
    (type $failure (variant (case "invalid" string) (case "unavailable" string) (case "other" string)))
    (export "failure" (type (eq $failure)))))
  (alias export $types "failure" (type $failure))
  (import "billhook:plugin/webhooks@0.1.0" (instance $webhooks
    (export "webhook" (type $webhook (sub resource)))
    (export "[method]webhook.body" (func (param "self" (borrow $webhook)) (result (list u8))))))
  (alias export $webhooks "webhook" (type $webhook))
  (alias export $webhooks "[method]webhook.body" (func $body))
  (import "billhook:plugin/log@0.1.0" (instance $log
    (type $levels (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $levels)))
    (export "log" (func
      (param "level" $level) (param "message" string) (param "fields" (list (tuple string string)))))))
  (alias export $log "log" (func $log))
  {imports}
  (core module $first
    (type $realloc (func (param i32 i32 i32 i32) (result i32)))
    (type $destructor (func (param i32)))
    (memory (export "memory") {memory})
    (table (export "table") 8 funcref)
    (func (export "realloc") (type $realloc) {realloc})
    (func (export "destructor") (type $destructor) {destructor}))
  (core instance $first (instantiate $first))
  (alias core export $first "memory" (core memory $memory))
  (alias core export $first "realloc" (core func $realloc))
  (alias core export $first "destructor" (core func $destructor))
  (type $own (resource (rep i32) (dtor (func $destructor))))
  (core func $own_new (canon resource.new $own))
  (core func $own_drop (canon resource.drop $own))
  (core func $drop (canon resource.drop $webhook))
  (core func $body (canon lower (func $body) (memory $memory) (realloc $realloc)))
  (core func $log (canon lower (func $log) (memory $memory)))
  {lowered}
  (core module $second
    (@custom "billhook:plugin" "name = \"hostile\"\nversion = \"0.1.0\"\nkinds = [\"normalize\"]\n{manifest}")
    (@custom "billhook:config-schema" "{schema}")
    (import "first" "memory" (memory 0))
    (import "first" "table" (table 8 funcref))
    (import "host" "drop" (func $drop (param i32)))
    (import "host" "own-new" (func $own_new (param i32) (result i32)))
    (import "host" "own-drop" (func $own_drop (param i32)))
    (import "host" "body" (func $body (param i32 i32)))
    (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
    {items}
    (func (export "post-return") (param i32) {post_return})
    (func (export "normalize") (param i32) (result i32) {normalize}))
  (core instance $second (instantiate $second
    (with "first" (instance $first))
    {with}
    (with "host" (instance
      (export "drop" (func $drop))
      (export "own-new" (func $own_new))
      (export "own-drop" (func $own_drop))
      (export "body" (func $body))
      (export "log" (func $log))))))
  (func $normalize
    (param "webhook" (borrow $webhook)) (result (result (list (list u8)) (error $failure)))
    (canon lift (core func $second "normalize") (memory $memory) (post-return (func $second "post-return"))))
  (instance $exported (export "normalize" (func $normalize)))
  (export "billhook:plugin/normalize@0.1.0" (instance $exported)))
"#;

impl Guest {
    /// The component.
    pub(crate) fn component(&self) -> Bytes {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let text = TEMPLATE
            .replace("{imports}", self.imports)
            .replace("{lowered}", self.lowered)
            .replace("{with}", self.with)
            .replace("{memory}", self.memory)
            .replace("{realloc}", self.realloc)
            .replace("{destructor}", self.destructor)
            .replace("{items}", self.items)
            .replace("{post_return}", self.post_return)
            .replace("{normalize}", self.normalize)
            .replace("{manifest}", &quoted(self.manifest))
            .replace("{schema}", &quoted(self.schema));
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}")).into()
    }
}
