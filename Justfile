# `just --list` tells what there is. `.ci/install` brings just itself and what the tests need.

# A crate outside of the workspace. The workspace's profiles and target directory let it share what is built.
external := "integration-tests/external-plugin"
external_args := "--manifest-path " + external / "Cargo.toml" + " --config Cargo.toml --target-dir " + env("CARGO_TARGET_DIR", "target")

export PATH := justfile_directory() / "target/tools/bin:" + env("PATH")

# All checks, as CI runs them; the tests' summaries come last.
ci: fmt clippy doc test generated

# The formatting is that of rustfmt and gofmt.
fmt:
    cargo fmt --all --check
    cargo fmt --manifest-path {{ external }}/Cargo.toml --check
    @test -z "$(gofmt -l integration-tests/go | tee /dev/stderr)"

# No warning of clippy or of Go's vet.
clippy:
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo clippy {{ external_args }} --all-targets --locked -- -D warnings
    cd integration-tests/go && go vet ./...

# The documentation builds without a warning.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

# All tests and doc tests, with all that they need.
test *args:
    .ci/test {{ args }}

# The tests of the stores with servers against every supported version of these: just versions postgres-14 valkey-9.1
versions *names:
    .ci/versions {{ names }}

# The tests compare each generated file with its source; a CI run must not have changed a tracked file either.
generated:
    @test "${CI:-}" != true || git diff --exit-code --stat

# Brings the lock file of the crate outside of the workspace in step, after a change of a dependency.
lock:
    cp Cargo.lock {{ external }}/Cargo.lock
    cargo metadata --manifest-path {{ external }}/Cargo.toml --format-version 1 >/dev/null

# The benchmarks, from the smallest part to the whole node; docs/BENCHMARKS.md says what they printed. With a name, that one.
bench name="*":
    cargo bench --workspace --locked --bench '{{ name }}'

# Nodes under up to fifty times the load that saturates their database, and what happens to it; docs/OVERLOAD.md has what it showed.
# A quarter of an hour; `--short` takes less than three minutes, `--full` some hours, `--arm no-gate --trigger freeze-10` one trigger.
overload *args:
    cargo build --release --locked --bin hydra
    cargo run --release --locked -p hydra-overload -- {{ args }}

# Feeds the decoders until `seconds` are over, target by target. Needs cargo-fuzz and a nightly toolchain.
fuzz seconds="300":
    for crate in core/kad core/records; do \
        cd "{{ justfile_directory() }}/$crate" && for target in $(cargo +nightly fuzz list); do \
            cargo +nightly fuzz run "$target" -- -max_total_time={{ seconds }} || exit 1; \
        done || exit 1; \
    done

# A node; arguments go to hydra.
run *args:
    cargo run --release --bin hydra -- {{ args }}
