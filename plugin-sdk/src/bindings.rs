//! What wit-bindgen makes of `wit/v0.1`: one world for each kind, so that a component exports exactly its kinds, and one
//! for each capability. What of these a plugin does not call is not imported by its component.
//!
//! The imported interfaces are generated once, with the first world that has them; the others refer to those.

#![allow(missing_docs, unreachable_pub, unsafe_code, reason = "generated code")]

/// The imported interfaces, wherever they were generated.
pub mod imports {
    pub use super::filter::billhook::plugin::events;
    pub use super::http::billhook::plugin::http;
    pub use super::kv::billhook::plugin::kv;
    pub use super::normalize::billhook::plugin::{clock, config, log, types, webhooks};
    pub use super::reveal::billhook::plugin::reveal;
    pub use super::secrets::billhook::plugin::secrets;
    pub use super::transform::billhook::plugin::deliveries;
    pub use super::verify::billhook::plugin::ingress;
}

pub mod verify {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "verify-plugin",
        pub_export_macro: true,
        export_macro_name: "export_verify",
        default_bindings_module: "billhook_plugin::bindings::verify",
        type_section_suffix: "verify",
        with: {
            "billhook:plugin/types@0.1.0": crate::bindings::imports::types,
            "billhook:plugin/log@0.1.0": crate::bindings::imports::log,
            "billhook:plugin/clock@0.1.0": crate::bindings::imports::clock,
            "billhook:plugin/config@0.1.0": crate::bindings::imports::config,
        },
    });
}

pub mod normalize {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "normalize-plugin",
        pub_export_macro: true,
        export_macro_name: "export_normalize",
        default_bindings_module: "billhook_plugin::bindings::normalize",
        type_section_suffix: "normalize",
    });
}

pub mod filter {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "filter-plugin",
        pub_export_macro: true,
        export_macro_name: "export_filter",
        default_bindings_module: "billhook_plugin::bindings::filter",
        type_section_suffix: "filter",
        with: {
            "billhook:plugin/types@0.1.0": crate::bindings::imports::types,
            "billhook:plugin/webhooks@0.1.0": crate::bindings::imports::webhooks,
            "billhook:plugin/log@0.1.0": crate::bindings::imports::log,
            "billhook:plugin/clock@0.1.0": crate::bindings::imports::clock,
            "billhook:plugin/config@0.1.0": crate::bindings::imports::config,
        },
    });
}

pub mod map {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "map-plugin",
        pub_export_macro: true,
        export_macro_name: "export_map",
        default_bindings_module: "billhook_plugin::bindings::map",
        type_section_suffix: "map",
        with: {
            "billhook:plugin/types@0.1.0": crate::bindings::imports::types,
            "billhook:plugin/webhooks@0.1.0": crate::bindings::imports::webhooks,
            "billhook:plugin/events@0.1.0": crate::bindings::imports::events,
            "billhook:plugin/log@0.1.0": crate::bindings::imports::log,
            "billhook:plugin/clock@0.1.0": crate::bindings::imports::clock,
            "billhook:plugin/config@0.1.0": crate::bindings::imports::config,
        },
    });
}

pub mod transform {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "transform-plugin",
        pub_export_macro: true,
        export_macro_name: "export_transform",
        default_bindings_module: "billhook_plugin::bindings::transform",
        type_section_suffix: "transform",
        with: {
            "billhook:plugin/types@0.1.0": crate::bindings::imports::types,
            "billhook:plugin/webhooks@0.1.0": crate::bindings::imports::webhooks,
            "billhook:plugin/events@0.1.0": crate::bindings::imports::events,
            "billhook:plugin/log@0.1.0": crate::bindings::imports::log,
            "billhook:plugin/clock@0.1.0": crate::bindings::imports::clock,
            "billhook:plugin/config@0.1.0": crate::bindings::imports::config,
        },
    });
}

pub mod secrets {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "with-secrets",
        type_section_suffix: "secrets",
    });
}

pub mod reveal {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "with-reveal",
        type_section_suffix: "reveal",
        with: { "billhook:plugin/secrets@0.1.0": crate::bindings::imports::secrets },
    });
}

pub mod kv {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "with-kv",
        type_section_suffix: "kv",
    });
}

pub mod http {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "with-http",
        type_section_suffix: "http",
        with: { "billhook:plugin/types@0.1.0": crate::bindings::imports::types },
    });
}
