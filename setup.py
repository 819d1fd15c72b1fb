"""The two Cython builds; everything else about packaging stands in pyproject.toml.

native._fast              an ordinary extension: the codec, signatures and Merkle code that Python imports.
native.libgovbus_gate     the Envoy module: the same .pxi files, linked so that only Envoy's hooks are exported and
                          everything that needs an interpreter is dropped. tests/architecture checks that with nm.

A missing header must stop the build: an implicit declaration truncates pointers and crashes at run time.
"""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SHARED = sorted(str(path) for pattern in ("*.pxi", "*.pxd", "*.h", "*.map") for path in Path("native").rglob(pattern))
COMPILE = [
    "-O2",
    "-fPIC",
    "-ffunction-sections",
    "-fdata-sections",
    "-Werror=implicit-function-declaration",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
]
HARDEN = ["-Wl,-z,relro,-z,now"]

fast = Extension(
    "native._fast",
    ["native/_fast.pyx"],
    libraries=["crypto"],
    depends=SHARED,
    extra_compile_args=COMPILE,
    extra_link_args=HARDEN,
)
gate = Extension(
    "native.libgovbus_gate",
    ["native/gate/gate.pyx"],
    libraries=["crypto"],
    depends=SHARED,
    extra_compile_args=COMPILE,
    # Exactly Envoy's hooks are roots; the linker then drops every section no hook reaches, the Python half included.
    extra_link_args=[*HARDEN, "-Wl,--gc-sections", "-Wl,--version-script=native/gate/exports.map"],
)

setup(
    ext_modules=cythonize(
        [fast, gate],
        include_path=["."],
        compiler_directives={"language_level": 3},
    )
)
