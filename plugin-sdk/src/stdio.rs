//! What the standard library would reach through WASI, without it. A component that only prints or panics would import
//! thirteen interfaces of WASI, and every fresh instance be linked to all of them, which takes longer than many a call.
//!
//! These functions stand in place of those of the C library, whose objects are then not linked: what is printed goes
//! through `billhook:plugin/log` with the field `stream`, which the gateway keeps as it keeps what WASI's streams are
//! given; there is no environment. What else of WASI a plugin uses (randomness, clocks, exit) is still imported.

#![expect(unsafe_code, reason = "they are called by the standard library by their C names")]

use std::ffi::{c_char, c_int};
use std::slice;

const STDOUT: c_int = 1;

/// `enum level` of `billhook:plugin/log`: a stream has none, and the gateway does not look at it.
const ERROR: i32 = 4;

/// A `tuple<string, string>` in the canonical ABI.
#[repr(C)]
struct Field(*const u8, usize, *const u8, usize);

/// `struct iovec` of POSIX.
#[repr(C)]
struct IoVec(*const u8, usize);

// Called as it is: the generated function allocates, and a plugin without memory is to say so.
#[link(wasm_import_module = "billhook:plugin/log@0.1.0")]
unsafe extern "C" {
    #[link_name = "log"]
    fn log(level: i32, message: *const u8, message_len: usize, fields: *const Field, fields_len: usize);
}

fn print(stream: &'static str, bytes: &[u8]) {
    let name = "stream";
    let field = Field(name.as_ptr(), name.len(), stream.as_ptr(), stream.len());
    for chunk in bytes.utf8_chunks() {
        let replaced = if chunk.invalid().is_empty() { "" } else { "\u{fffd}" };
        for text in [chunk.valid(), replaced].iter().filter(|text| !text.is_empty()) {
            // SAFETY: the signature is that of `log.log` in the canonical ABI, which reads all of it before it returns.
            unsafe { log(ERROR, text.as_ptr(), text.len(), &raw const field, 1) }
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, bytes: *const u8, len: usize) -> isize {
    // SAFETY: who calls `write` gives it `len` bytes.
    let bytes = if len == 0 { &[][..] } else { unsafe { slice::from_raw_parts(bytes, len) } };
    // A plugin has no other files.
    print(if fd == STDOUT { "stdout" } else { "stderr" }, bytes);
    len.cast_signed()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, buffers: *const IoVec, count: c_int) -> isize {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: who calls `writev` gives it `count` buffers of the lengths they name.
    let buffers = if count == 0 { &[][..] } else { unsafe { slice::from_raw_parts(buffers, count) } };
    let written = buffers.iter().map(|IoVec(bytes, len)| unsafe { write(fd, *bytes, *len) });
    written.sum()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getenv(_: *const c_char) -> *const c_char {
    std::ptr::null()
}
