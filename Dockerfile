# The image by `build.py image`, as an ordinary user, with the packages that images/build.lock names:
#
#     docker build --output build/container .       (or podman build, or buildah bud)
#     sha256sum build/container/vmlinuz
#
# Nothing is mounted from outside, so SELinux labels do not matter. BASE is any Debian 13; what in it
# differs from the lock is installed over, or named in the output and the hash not comparable.
# APT_SOURCES: lines of sources.list, for a dated archive when the mirrors have dropped a locked package:
#     --build-arg APT_SOURCES="deb [check-valid-until=no] ADDRESS-OF-A-DATED-ARCHIVE trixie main"

ARG BASE=debian:trixie-slim
FROM ${BASE} AS build
ARG APT_SOURCES=""
ENV DEBIAN_FRONTEND=noninteractive
COPY images/build.lock /tmp/build.lock
# the locked versions; if one is gone, what there is instead: build.py then says in what that differs
RUN if [ -n "$APT_SOURCES" ]; then \
        rm -rf /etc/apt/sources.list.d && printf '%s\n' "$APT_SOURCES" > /etc/apt/sources.list; \
    fi && \
    apt-get update && \
    { apt-get install -y --no-install-recommends --allow-downgrades \
        $(sed -n 's/^package \([^ ]*\) \([^ ]*\) .*/\1=\2/p' /tmp/build.lock) || \
      apt-get install -y --no-install-recommends $(sed -n 's/^want //p' /tmp/build.lock); } && \
    useradd --create-home builder && \
    install -d -o builder /src
COPY --chown=builder . /src
USER builder
WORKDIR /src
RUN python3 build.py image --here

FROM scratch
COPY --from=build /src/build/vmlinuz /vmlinuz
