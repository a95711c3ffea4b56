# Everything here is one command; the recipes only name it.
SHELL := /bin/bash
.PHONY: help run run-cluster test lint fmt deny sim powercut crash load compose-test import-test acceptance space damage linearizability soak netfaults cluster-faults subject-memory bad-disk fuzz contract-test bench cluster-bench monitoring-test schemas examples-test asyncapi-check sbom
.DEFAULT_GOAL := help
RUN_DIR ?= run

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: ## nats-server and the service on loopback with a development key (ONCE=1: show it and stop)
	@tools/run.sh

run-cluster: ## three nats-servers and three services on loopback (ONCE=1: show an update at one, the read at the others, and stop)
	@tools/run-cluster.sh

test: ## fetch nats-server if there is none, build, run every test
	@tools/nats-server.sh >/dev/null
	cargo test --workspace --locked

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

fmt: ## format everything
	cargo fmt --all

deny: ## licences, sources and bans of the dependencies (cargo install cargo-deny --locked --root target/tools)
	PATH="$$PWD/target/tools/bin:$$PATH" cargo deny --locked check bans licenses sources

sim: ## seeded simulation: 10,000 seeds of entities, 1,000 of the service (SEEDS=, SERVICE_SEEDS=, SEED=)
	SEEDS=$${SEEDS:-10000} SERVICE_SEEDS=$${SERVICE_SEEDS:-1000} \
		cargo test --profile checks --locked -p profile-tests --test sim -- --nocapture

powercut: ## power cuts: 1,000,000 of the log on a simulated disk (POWERCUTS=N), 200 of the real process (CUTS=N, SEED=N)
	POWERCUTS=$${POWERCUTS:-1000000} cargo test --profile checks --locked -p profile --features testkit --lib power_cuts -- --nocapture
	cargo build --profile checks --locked --bins
	CUTS=$${CUTS:-200} cargo test --profile checks --locked -p profile-tests --test disk power -- --nocapture

crash: ## kill -9 of the real process, 1000 times at random (ROUNDS=N) and 20 at each named point (POINT_ROUNDS=N; SEED=N replays)
	cargo build --profile checks --locked --bins
	ROUNDS=$${ROUNDS:-1000} cargo test --profile checks --locked -p profile-tests --test crash -- --nocapture
	POINT_ROUNDS=$${POINT_ROUNDS:-20} cargo test --profile checks --locked -p profile-tests --test disk points -- --nocapture

load: ## 100,000 users from 64 clients against a release build (LOAD_USERS=N)
	cargo build --release --locked --bins
	LOAD_USERS=$${LOAD_USERS:-100000} cargo test --release --locked -p profile-tests --test load -- --nocapture

import-test: ## an import of 1,000,000 users that is killed six times, and the service under it three times (USERS=N)
	cargo build --profile checks --locked --bins
	IMPORT_USERS=$${USERS:-1000000} \
		cargo test --profile checks --locked -p profile-tests --test it an_import_that_is_killed -- --nocapture

compose-test: ## the shipped docker-compose.yml: a kill -9 of the service in between, and every query in its Prometheus (MONITORING=0)
	@tools/compose-test.sh

acceptance: ## what README.md promises, checked in Python (needs `make run` up, pip install nats-py)
	@test -f $(RUN_DIR)/env.sh || \
		{ echo "acceptance: no $(RUN_DIR)/env.sh. Advice: make run, in another terminal" >&2; exit 1; }
	@. $(RUN_DIR)/env.sh && PROFILE_DATA_DIR=$(RUN_DIR)/data python3 tests/acceptance/acceptance.py

space: ## ten million updates of a million users: how much the data directory takes (UPDATES=N, USERS=N)
	UPDATES=$${UPDATES:-10000000} USERS=$${USERS:-1000000} \
		cargo test --profile checks --locked -p profile-tests --test space -- --nocapture --test-threads=1

damage: ## one damaged file of the data directory, 500 times (DAMAGES=N, SEED=N replays from there)
	cargo build --locked --bins
	DAMAGES=$${DAMAGES:-500} cargo test --locked -p profile-tests --test damage -- --nocapture

linearizability: ## 200 recorded histories of 2,000 operations under faults (HISTORIES=N, OPS=N, SEED=N)
	cargo build --locked --profile=checks --bins
	HISTORIES=$${HISTORIES:-200} OPS=$${OPS:-2000} \
		cargo test --locked --profile=checks -p profile-tests --test linearizability -- --nocapture

soak: ## an hour of mixed load with faults, and a million requests that time out (MINUTES=N, DOCS=1: pictures)
	TIMED_OUT_REQUESTS=1000000 cargo test --locked --profile=checks -p profile --lib inbox -- --nocapture
	cargo build --locked --profile=checks --bins
	MINUTES=$${MINUTES:-60} cargo test --locked --profile=checks -p profile-tests --test soak -- --nocapture

netfaults: ## 200 faults of a real nats-server and of the lines to it (FAULTS=N, SEED=N replays, ONLY=Forged)
	cargo build --profile checks --locked --bins
	FAULTS=$${FAULTS:-200} cargo test --profile checks --locked -p profile-tests --test netfaults -- --nocapture

cluster-faults: ## 60 faults of three nats-servers and three services, each pair on a host of its own (FAULTS=N, SEED=N, ONLY=CutAll; needs root)
	cargo build --profile checks --locked --bins
	FAULTS=$${FAULTS:-60} cargo test --profile checks --locked -p profile-tests --test cluster_faults -- --nocapture

subject-memory: ## what nats-server takes for the log of several nodes, by the number of users (USERS="1000000 10000000")
	python3 tools/subject_memory.py $$(tools/nats-server.sh) $${CARGO_TARGET_DIR:-target}/subject-memory $${USERS:-1000000 10000000}

bad-disk: ## the real process while each of 200 calls fails in every way (CALLS=N), and 50 full disks (FULL_DISKS=N, SEED=N)
	cargo build --profile checks --locked --bins
	CALLS=$${CALLS:-200} cargo test --profile checks --locked -p profile-tests --test disk errors -- --nocapture
	FULL_DISKS=$${FULL_DISKS:-50} cargo test --profile checks --locked -p profile-tests --test disk full -- --nocapture

fuzz: ## every decoder under libFuzzer, half an hour each (SECONDS_EACH=N, TARGETS="json_body http", KEEP=1; needs cargo-fuzz)
	@tools/fuzz.sh

contract-test: ## the REST document against the running service, by Schemathesis from PyPI (EXAMPLES=N, SEED=N)
	@tools/contract-test.sh

bench: ## beside echo, PostgreSQL, Redis and JetStream (QUICK=1; ROUNDS=, SECONDS_EACH=, USERS=, ONLY=, DOCS=1)
	@tools/nats-server.sh >/dev/null
	cargo build --release --locked --bins
	cargo bench --locked --workspace --bench bench

cluster-bench: ## one, two and three nodes on three nats-servers (ROUNDS=, SECONDS_EACH=, ONLY=zipf_any_node,..., DOCS=1)
	@tools/nats-server.sh >/dev/null
	cargo build --release --locked --bins
	SEVERAL_NODES=1 ROUNDS=$${ROUNDS:-3} SECONDS_EACH=$${SECONDS_EACH:-5} cargo bench --locked --workspace --bench bench

monitoring-test: ## every query of the dashboard and every alert against a real Prometheus (needs Debian's prometheus)
	@tools/monitoring-test.sh

schemas: ## write what is made from the code: AsyncAPI document and page (messages/schemas)
	BLESS=1 cargo test --locked -p profile-tests --test documents the_documents_are_what_the_code_says

examples-test: ## every program of examples/: Rust, curl, Python and TypeScript (needs Python with venv, Node.js 20)
	@tools/examples-test.sh

asyncapi-check: ## the AsyncAPI document against the official schema, by AsyncAPI's own parser from npm
	@tools/asyncapi-check.sh

sbom: ## a bill of materials of each program, in target/sbom (needs cargo-cyclonedx)
	@tools/sbom.sh
