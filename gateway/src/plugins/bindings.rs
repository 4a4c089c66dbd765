//! What the WIT of `wit/v0.1` means in Rust: the imports once, and one world for each kind that is called.

/// Everything that a plugin may import.
pub(super) mod host {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        inline: "
            package billhook:host;
            world host {
                include billhook:plugin/base@0.1.0;
                import billhook:plugin/webhooks@0.1.0;
                import billhook:plugin/events@0.1.0;
            }
        ",
        world: "billhook:host/host",
        imports: { default: trappable },
        with: {
            "billhook:plugin/webhooks.webhook": crate::plugins::imports::handles::Webhook,
            "billhook:plugin/events.event": crate::plugins::imports::handles::Event,
        },
        require_store_data_send: true,
    });
}

pub(super) mod normalize {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        world: "billhook:plugin/normalize-plugin",
        imports: { default: trappable },
        exports: { default: async },
        with: { "billhook:plugin": crate::plugins::bindings::host::billhook::plugin },
        require_store_data_send: true,
    });
}

pub(super) mod filter {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        world: "billhook:plugin/filter-plugin",
        imports: { default: trappable },
        exports: { default: async },
        with: { "billhook:plugin": crate::plugins::bindings::host::billhook::plugin },
        require_store_data_send: true,
    });
}

pub(super) mod map {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        world: "billhook:plugin/map-plugin",
        imports: { default: trappable },
        exports: { default: async },
        with: { "billhook:plugin": crate::plugins::bindings::host::billhook::plugin },
        require_store_data_send: true,
    });
}
