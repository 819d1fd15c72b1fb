"""The build is what it claims to be: compiled code is loaded, and the gate needs Envoy but no interpreter.

A gate with one undefined Py* symbol is refused by Envoy at load; a misspelt callback only fails when it is first
called, and a misspelt hook is never called. So all three are read from the files, with nm, before any Envoy starts.
"""

import importlib
import importlib.util
import mmap
import re
import subprocess
import sysconfig
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import pytest


def installed(package: str) -> Path:
    """Folder of an installed package, found the way Python finds it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"{package} is not installed; run: make env"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


GATE = installed("native") / f"libgovbus_gate{sysconfig.get_config_var('EXT_SUFFIX')}"
ENVOY = installed("envoy") / "_bin" / "envoy"

# What Envoy resolves when it loads a module with an HTTP filter; a missing one refuses the whole configuration.
REQUIRED_HOOKS = {
    "envoy_dynamic_module_on_program_init",
    "envoy_dynamic_module_on_http_filter_config_new",
    "envoy_dynamic_module_on_http_filter_config_destroy",
    "envoy_dynamic_module_on_http_filter_new",
    "envoy_dynamic_module_on_http_filter_destroy",
    "envoy_dynamic_module_on_http_filter_request_headers",
    "envoy_dynamic_module_on_http_filter_request_body",
    "envoy_dynamic_module_on_http_filter_request_trailers",
    "envoy_dynamic_module_on_http_filter_response_headers",
    "envoy_dynamic_module_on_http_filter_response_body",
    "envoy_dynamic_module_on_http_filter_response_trailers",
    "envoy_dynamic_module_on_http_filter_scheduled",
    "envoy_dynamic_module_on_http_filter_stream_complete",
    "envoy_dynamic_module_on_http_filter_http_callout_done",
    "envoy_dynamic_module_on_http_filter_http_stream_headers",
    "envoy_dynamic_module_on_http_filter_http_stream_data",
    "envoy_dynamic_module_on_http_filter_http_stream_trailers",
    "envoy_dynamic_module_on_http_filter_http_stream_complete",
    "envoy_dynamic_module_on_http_filter_http_stream_reset",
    "envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark",
    "envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark",
}


def dynamic_symbols(path: Path, *, undefined: bool) -> set[str]:
    """Names in the dynamic symbol table of `path`, versions stripped."""
    chosen = "--undefined-only" if undefined else "--defined-only"
    listing = subprocess.run(["nm", "-D", chosen, str(path)], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1].split("@")[0] for line in listing.splitlines() if line.strip()}


@pytest.fixture(scope="module")
def gate_needs() -> set[str]:
    return dynamic_symbols(GATE, undefined=True)


@pytest.fixture(scope="module")
def gate_offers() -> set[str]:
    return dynamic_symbols(GATE, undefined=False)


def test_the_fast_half_is_the_compiled_one() -> None:
    spec = importlib.import_module("native._fast").__spec__
    assert spec is not None
    assert isinstance(spec.loader, ExtensionFileLoader)
    assert Path(spec.origin or "").read_bytes()[:4] == b"\x7fELF"


def test_the_gate_needs_no_interpreter(gate_needs: set[str]) -> None:
    python = sorted(name for name in gate_needs if re.match(r"_?Py", name))
    assert python == [], "Python objects on the gate's path; look for a //, a def, an exception or an uncast string"


def test_the_gate_links_libc_and_libcrypto_only() -> None:
    listing = subprocess.run(["objdump", "-p", str(GATE)], check=True, capture_output=True, text=True).stdout
    needed = set(re.findall(r"NEEDED\s+(\S+)", listing))
    assert {name.split(".so")[0] for name in needed} <= {"libcrypto", "libc", "ld-linux-x86-64", "ld-linux-aarch64"}


def test_the_gate_exports_hooks_and_nothing_else(gate_offers: set[str]) -> None:
    assert {name for name in gate_offers if not name.startswith("envoy_dynamic_module_on_")} == set()


def test_the_gate_defines_every_hook_envoy_asks_for(gate_offers: set[str]) -> None:
    assert REQUIRED_HOOKS - gate_offers == set()


def test_every_callback_of_the_gate_exists_in_the_pinned_envoy(gate_needs: set[str]) -> None:
    callbacks = {name for name in gate_needs if name.startswith("envoy_")}
    assert callbacks, "a gate that calls nothing is not the gate"
    assert callbacks - dynamic_symbols(ENVOY, undefined=False) == set()


def test_every_hook_of_the_gate_is_known_to_the_pinned_envoy(gate_offers: set[str]) -> None:
    with ENVOY.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as binary:
        unknown = {name for name in gate_offers if binary.find(name.encode() + b"\0") < 0}
    assert unknown == set()
