# The service and its client on an empty base: no shell, no package manager, not root, and a root file system that
# may be read-only (docker-compose.yml). About 31 MB: profiled 18.7, profilectl 9.2, their libraries 3.2, certificates
# 0.2, the base nothing. tools/compose-test.sh refuses 60.
FROM rust:1.95.0-bookworm AS build
WORKDIR /source
COPY . .
# aws-lc builds with the C compiler alone.
ENV AWS_LC_SYS_CMAKE_BUILDER=0
# What `--version` names: docker build --build-arg GIT_COMMIT=$(git rev-parse HEAD) .
ARG GIT_COMMIT=
RUN GIT_COMMIT=$GIT_COMMIT cargo build --release --locked -p profile -p profilectl
# Without the line tables of backtraces, which are half of the two; panics still name file and line.
RUN strip --strip-debug target/release/profiled target/release/profilectl
RUN tools/image-root.sh /image target/release/profiled target/release/profilectl \
    && mkdir -p /image/etc/ssl/certs /owned \
    && mkdir -m 700 /owned/data /owned/keys /owned/public-keys \
    && cp -L /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/

FROM scratch
COPY --from=build /image/ /
# A new volume takes owner and mode from the folder it is mounted on.
COPY --from=build --chown=10001:10001 /owned/ /
USER 10001:10001
ENTRYPOINT ["/profiled"]
CMD ["--config", "/secrets/profiled.toml"]
