//! A component that imports what no host has.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, missing_docs, clippy::all, reason = "generated")]

wit_bindgen::generate!({
    inline: "
        package elsewhere:things@1.0.0;
        interface back-door { open: func() -> u32; }
        world wants { import back-door; export run: func() -> u32; }
    ",
});

struct Wants;

impl Guest for Wants {
    fn run() -> u32 {
        elsewhere::things::back_door::open()
    }
}

export!(Wants);
