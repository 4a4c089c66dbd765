//! [`plugin!`](crate::plugin!).

/// Makes a component of a plugin type.
///
/// ```ignore
/// billhook_plugin::plugin! {
///     Acme: Verify + Normalize;
///     manifest = "plugin.toml";
///     schema = "config.schema.json";
/// }
/// ```
///
/// The paths are below the crate's root. On WebAssembly it exports the kinds and puts both files, verbatim, into
/// the custom sections `billhook:plugin` and `billhook:config-schema`, and the name and version of this crate into
/// `billhook:sdk`. Everywhere it defines the constants
/// `MANIFEST` and `CONFIG_SCHEMA`, and in native tests it holds both files against the code
/// (see [`check`](mod@crate::check)): the crate needs `schemars` there, and its configuration
/// `#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]`.
///
/// Without the line `schema` there is none, nor a need for `schemars`: the configuration must be
/// [`NoConfig`](crate::NoConfig).
#[macro_export]
macro_rules! plugin {
    (
        $type:ident: $first:ident $(+ $more:ident)*;
        manifest = $manifest:literal;
        schema = $schema:literal;
    ) => {
        $crate::plugin! { @component $type: $first $(+ $more)*; $manifest }

        /// The JSON schema of the configuration, verbatim.
        pub const CONFIG_SCHEMA: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $schema));

        #[cfg(target_family = "wasm")]
        const _: () = {
            #[unsafe(link_section = "billhook:config-schema")]
            static SCHEMA_SECTION: [u8; CONFIG_SCHEMA.len()] =
                *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $schema));
        };

        #[cfg(all(test, not(target_family = "wasm")))]
        #[test]
        fn the_config_schema_is_that_of_the_config() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/", $schema);
            $crate::check::config_schema::<$type>(CONFIG_SCHEMA, path);
        }
    };

    (
        $type:ident: $first:ident $(+ $more:ident)*;
        manifest = $manifest:literal;
    ) => {
        $crate::plugin! { @component $type: $first $(+ $more)*; $manifest }

        // A configuration needs the line `schema`.
        const _: fn($crate::NoConfig) -> ::std::result::Result<$type, $crate::Failure> =
            <$type as $crate::Plugin>::new;
    };

    (@component $type:ident: $first:ident $(+ $more:ident)*; $manifest:literal) => {
        /// `plugin.toml`, verbatim.
        pub const MANIFEST: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $manifest));

        #[cfg(target_family = "wasm")]
        const _: () = {
            // Not `#[used]`: that would keep the bytes in the memory of each instance too.
            #[unsafe(link_section = "billhook:plugin")]
            static MANIFEST_SECTION: [u8; MANIFEST.len()] =
                *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $manifest));

            #[unsafe(link_section = "billhook:sdk")]
            static SDK_SECTION: [u8; $crate::exports::SDK.len()] = $crate::exports::sdk();

            impl $crate::exports::Instance for $type {
                fn place() -> &'static ::std::thread::LocalKey<::std::cell::OnceCell<Self>> {
                    ::std::thread_local! {
                        static PLACE: ::std::cell::OnceCell<$type> = const { ::std::cell::OnceCell::new() };
                    }
                    &PLACE
                }
            }

            // Called as no plugin is: the type of that name would be this one.
            type BillhookExportsOfPlugin = $crate::exports::Exports<$type>;
            $crate::export_kind!($first, BillhookExportsOfPlugin);
            $($crate::export_kind!($more, BillhookExportsOfPlugin);)*
        };

        #[cfg(all(test, not(target_family = "wasm")))]
        #[test]
        fn the_manifest_fits_the_crate() {
            let kinds = [stringify!($first) $(, stringify!($more))*];
            $crate::check::manifest(MANIFEST, env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), &kinds);
        }
    };
}

/// Exports one kind; for [`plugin!`](crate::plugin!) only.
#[doc(hidden)]
#[macro_export]
macro_rules! export_kind {
    (Verify, $component:ident) => {
        $crate::bindings::verify::export_verify!($component with_types_in $crate::bindings::verify);
    };
    (Normalize, $component:ident) => {
        $crate::bindings::normalize::export_normalize!($component with_types_in $crate::bindings::normalize);
    };
    (Filter, $component:ident) => {
        $crate::bindings::filter::export_filter!($component with_types_in $crate::bindings::filter);
    };
    (Map, $component:ident) => {
        $crate::bindings::map::export_map!($component with_types_in $crate::bindings::map);
    };
    (Transform, $component:ident) => {
        $crate::bindings::transform::export_transform!($component with_types_in $crate::bindings::transform);
    };
}
