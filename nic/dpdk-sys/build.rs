//! Finds the system's DPDK, generates the bindings, compiles the shim.
//!
//! Layouts differ between DPDK releases, so nothing generated is checked in. The compiler flags are
//! the raw tokens of `pkg-config --cflags libdpdk`: the usual pkg-config crate drops
//! `-include rte_config.h` and `-march=…`, without which the inlines don't even parse.
//!
//! Whatever is missing is named once, with its remedy; then the build stops.

use std::path::PathBuf;
use std::process::{Command, exit};
use std::{env, panic};

/// The oldest DPDK whose names the shim knows (`RTE_ETH_*`, `RTE_MBUF_F_*`, `rte_thread_register`).
const OLDEST: &str = "22.11";

/// What `nic/dpdk` calls; drivers are loaded by EAL from the distribution's driver folder.
const SHARED_LIBRARIES: &[&str] = &[
    "rte_eal",
    "rte_mempool",
    "rte_mbuf",
    "rte_ring",
    "rte_ethdev",
    "rte_hash",
    "rte_net_ring",
];

/// Drivers and mempool operations that a static executable carries with it.
const STATIC_DRIVERS: &[&str] = &[
    "rte_bus_vdev",
    "rte_bus_pci",
    "rte_common_iavf",
    "rte_mempool_ring",
    "rte_mempool_stack",
    "rte_net_af_packet",
    "rte_net_e1000",
    "rte_net_i40e",
    "rte_net_iavf",
    "rte_net_ice",
    "rte_net_ixgbe",
    "rte_net_memif",
    "rte_net_null",
    "rte_net_ring",
    "rte_net_tap",
    "rte_net_virtio",
];

fn main() {
    for file in ["build.rs", "wrapper.h", "shim.h", "shim.c"] {
        println!("cargo:rerun-if-changed={file}");
    }
    for variable in [
        "PKG_CONFIG",
        "PKG_CONFIG_PATH",
        "PKG_CONFIG_LIBDIR",
        "LIBCLANG_PATH",
    ] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    require_dpdk();
    let cflags = compile_flags();
    compile_shim(&cflags);
    generate_bindings(&cflags);
    if env::var_os("CARGO_FEATURE_STATIC").is_some() {
        link_static()
    } else {
        link_shared()
    }
}

/// Stops the build with one message: what is wrong, and what mends it.
fn fail(what: &str, remedy: &str) -> ! {
    eprintln!("\nerror: {what}\n  help: {remedy}\n");
    exit(1)
}

fn pkg_config(arguments: &[&str]) -> Option<String> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(error) => fail(
            &format!("pkg-config does not run ({error}); it is how DPDK is found"),
            "run `scripts/setup`, or `apt-get install pkg-config libdpdk-dev libclang-dev`",
        ),
    };
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn require_dpdk() {
    if pkg_config(&[&format!("--atleast-version={OLDEST}"), "libdpdk"]).is_some() {
        return;
    }
    let found = match pkg_config(&["--modversion", "libdpdk"]) {
        Some(version) => format!("DPDK {version} is too old: {OLDEST} or newer is needed"),
        None => "DPDK was not found (pkg-config knows no `libdpdk`)".to_owned(),
    };
    fail(
        &found,
        "run `scripts/setup`, or `apt-get install libdpdk-dev libclang-dev`; a DPDK of your own is \
         found through PKG_CONFIG_PATH. Without DPDK: build with `--no-default-features`",
    );
}

/// The flags that change how DPDK's headers read: paths, macros, forced includes, the machine.
fn compile_flags() -> Vec<String> {
    let raw = pkg_config(&["--cflags", "libdpdk"]).unwrap_or_default();
    let mut kept = Vec::new();
    let mut tokens = raw.split_whitespace();
    while let Some(token) = tokens.next() {
        match token {
            "-include" | "-isystem" => {
                kept.push(token.to_owned());
                kept.extend(tokens.next().map(str::to_owned));
            }
            _ if ["-I", "-D", "-m"].iter().any(|prefix| token.starts_with(prefix)) => {
                kept.push(token.to_owned());
            }
            _ => {}
        }
    }
    kept
}

fn compile_shim(cflags: &[String]) {
    let mut build = cc::Build::new();
    // DPDK's inlines trip over -Wextra in places; their warnings are not ours to mend.
    build
        .file("shim.c")
        .opt_level(3)
        .flag("-std=gnu11")
        .warnings(false);
    for flag in cflags {
        build.flag(flag);
    }
    if let Err(error) = build.try_compile("fourtuple_shim") {
        fail(
            &format!("shim.c does not compile against the DPDK that was found: {error}"),
            "a C compiler is needed (`scripts/setup`, or `apt-get install build-essential`)",
        );
    }
}

fn generate_bindings(cflags: &[String]) {
    require_libclang();
    let builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(cflags)
        .allowlist_item("(RTE|rte|RING_F)_.*")
        .allowlist_item("(SHIM|shim)_.*")
        // Packed types that hold aligned ones, which Rust refuses (E0588); nothing here looks inside.
        .opaque_type("rte_l2tpv2_combined_msg_hdr")
        .opaque_type("rte_arp_hdr")
        .opaque_type("rte_arp_ipv4")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_default(true)
        .derive_debug(false)
        .generate_comments(false)
        .layout_tests(true)
        .rust_target(bindgen::RustTarget::stable(89, 0).expect("Rust 1.89 is a released version"))
        .rust_edition(bindgen::RustEdition::Edition2024);
    let bindings = match builder.generate() {
        Ok(bindings) => bindings,
        Err(error) => fail(
            &format!(
                "bindgen could not read DPDK's headers with {}: {error}",
                clang_version()
            ),
            "when a standard header such as stddef.h is missing: `apt-get install libclang-dev`. When the messages above \
             speak of `__m64` or `__m128`, libclang and clang are of different releases: set LIBCLANG_PATH to the lib folder \
             of the clang that is on the PATH, for example LIBCLANG_PATH=/usr/lib/llvm-14/lib",
        ),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bindings.rs");
    if let Err(error) = bindings.write_to_file(&out) {
        fail(
            &format!("{} can't be written: {error}", out.display()),
            "is the disk full?",
        );
    }
}

/// bindgen panics deep inside when there is no libclang; ask first, and say it plainly.
fn require_libclang() {
    panic::set_hook(Box::new(|_| {}));
    let found = panic::catch_unwind(bindgen::clang_version).is_ok();
    let _ = panic::take_hook();
    if !found {
        fail(
            "libclang was not found; bindgen reads DPDK's headers with it",
            "run `scripts/setup`, or `apt-get install libclang-dev`; one in an unusual place is found \
             through LIBCLANG_PATH",
        );
    }
}

fn clang_version() -> String {
    bindgen::clang_version().full
}

fn link_shared() {
    search_paths("--libs-only-L");
    // Its own library since 23.11, a part of rte_eal before.
    let listed = pkg_config(&["--libs", "libdpdk"]).unwrap_or_default();
    let log = listed
        .split_whitespace()
        .any(|token| token == "-lrte_log")
        .then_some("rte_log");
    for library in SHARED_LIBRARIES.iter().copied().chain(log) {
        println!("cargo:rustc-link-lib=dylib={library}");
    }
}

/// Whole archives, since drivers register themselves in constructors that nothing refers to.
fn link_static() {
    search_paths("--libs-only-L");
    let listed = pkg_config(&["--static", "--libs", "libdpdk"]).unwrap_or_default();
    let folder = pkg_config(&["--variable=libdir", "libdpdk"]).unwrap_or_default();
    let archive = |name: &str| PathBuf::from(&folder).join(format!("lib{name}.a")).exists();
    println!("cargo:rustc-link-search=native={folder}");
    for library in static_libraries() {
        if archive(&library) {
            println!("cargo:rustc-link-lib=static:+whole-archive,-bundle={library}");
        } else if STATIC_CORE_ALWAYS.contains(&library.as_str()) {
            fail(
                &format!("lib{library}.a is not in {folder}, so DPDK can't be linked statically"),
                "install the archives (`apt-get install libdpdk-dev`), or build without the feature `static`",
            );
        }
    }
    // What DPDK itself stands on stays shared.
    for name in listed
        .split_whitespace()
        .filter_map(|token| token.strip_prefix("-l"))
    {
        if ["m", "dl", "pthread", "numa", "bsd", "atomic", "rt"].contains(&name) {
            println!("cargo:rustc-link-lib=dylib={name}");
        }
    }
}

/// Libraries whose absence is an error; the rest exists in some releases only.
const STATIC_CORE_ALWAYS: &[&str] = &["rte_eal", "rte_mempool", "rte_mbuf", "rte_ring", "rte_ethdev"];

fn static_libraries() -> Vec<String> {
    let core = [
        "rte_log",
        "rte_kvargs",
        "rte_argparse",
        "rte_telemetry",
        "rte_eal",
        "rte_ring",
        "rte_rcu",
        "rte_mempool",
        "rte_mbuf",
        "rte_net",
        "rte_meter",
        "rte_ethdev",
        "rte_pci",
        "rte_hash",
        "rte_timer",
        "rte_stack",
        "rte_security",
        "rte_cryptodev",
        "rte_gso",
        "rte_ip_frag",
        "rte_cmdline",
        "rte_vhost",
        "rte_dmadev",
    ];
    core.iter()
        .chain(STATIC_DRIVERS)
        .map(|&name| name.to_owned())
        .collect()
}

fn search_paths(question: &str) {
    for token in pkg_config(&[question, "libdpdk"])
        .unwrap_or_default()
        .split_whitespace()
    {
        if let Some(path) = token.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={path}");
        }
    }
}
