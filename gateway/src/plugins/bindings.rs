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
                import billhook:plugin/ingress@0.1.0;
                import billhook:plugin/deliveries@0.1.0;
                import billhook:plugin/secrets@0.1.0;
                import billhook:plugin/reveal@0.1.0;
                import billhook:plugin/kv@0.1.0;
                import billhook:plugin/http@0.1.0;
            }
        ",
        world: "billhook:host/host",
        imports: {
            // These wait: for the store, or for somebody else's machine.
            "billhook:plugin/kv.[method]bucket.get": async | trappable,
            "billhook:plugin/kv.[method]bucket.set": async | trappable,
            "billhook:plugin/kv.[method]bucket.compare-and-set": async | trappable,
            "billhook:plugin/kv.[method]bucket.delete": async | trappable,
            "billhook:plugin/http.[method]request.send": async | trappable,
            default: trappable,
        },
        with: {
            "billhook:plugin/webhooks.webhook": crate::plugins::imports::handles::Webhook,
            "billhook:plugin/events.event": crate::plugins::imports::handles::Event,
            "billhook:plugin/ingress.request": crate::plugins::imports::handles::Request,
            "billhook:plugin/deliveries.outgoing": crate::plugins::imports::handles::Outgoing,
            "billhook:plugin/secrets.secret": crate::plugins::imports::handles::Secret,
            "billhook:plugin/kv.bucket": crate::plugins::imports::handles::Bucket,
            "billhook:plugin/http.request": crate::plugins::imports::handles::HttpRequest,
            "billhook:plugin/http.response": crate::plugins::imports::handles::HttpResponse,
        },
        require_store_data_send: true,
    });
}

/// The world of a kind, with the imports of [`host`].
macro_rules! kind {
    ($name:ident, $world:tt) => {
        pub(super) mod $name {
            wasmtime::component::bindgen!({
                path: "../wit/v0.1",
                world: $world,
                imports: { default: trappable },
                exports: { default: async },
                with: { "billhook:plugin": crate::plugins::bindings::host::billhook::plugin },
                require_store_data_send: true,
            });
        }
    };
}

kind!(normalize, "billhook:plugin/normalize-plugin");
kind!(filter, "billhook:plugin/filter-plugin");
kind!(map, "billhook:plugin/map-plugin");
kind!(verify, "billhook:plugin/verify-plugin");
kind!(transform, "billhook:plugin/transform-plugin");
