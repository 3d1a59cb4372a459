# lra-design for processors: a place to run it in. docs/containers.md says how; docker/build.sh
# builds and tries it. (The image of `--isolation container` is another: docker/sandbox.Dockerfile.)
#
# The base is pinned by digest, that of Docker's own list of August 2026
# (docker-library/repo-info, repos/debian/remote/bookworm-20260803-slim.md).
ARG BASE=docker.io/library/debian:bookworm-20260803-slim@sha256:abd67ffcfa541b485a3dff59865ab629aa048a6c613e639d36e7456b0b229241

FROM ${BASE} AS python
COPY docker/install.sh /usr/local/lib/lra-design/
RUN /usr/local/lib/lra-design/install.sh system

# Depends on pins and requirements alone: a change of sources installs no PyTorch again.
FROM python AS dependencies
ARG EXTRAS=data,postgres,ray
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
COPY constraints.txt pyproject.toml /src/
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /usr/local/lib/lra-design/install.sh dependencies /src /opt/lra-design "$EXTRAS"

FROM dependencies AS wheel
COPY . /src/
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /usr/local/lib/lra-design/install.sh wheel /src /dist /opt/lra-design

FROM python
RUN /usr/local/lib/lra-design/install.sh user
COPY --from=dependencies /opt/lra-design /opt/lra-design
COPY docker/health.py /usr/local/lib/lra-design/
# Copied, not mounted: the cache of Podman 4.3 does not see what changes in a mount.
COPY --from=wheel /dist /usr/local/share/lra-design
RUN /usr/local/lib/lra-design/install.sh package /usr/local/share/lra-design /opt/lra-design
COPY mechanisms/ /lra/mechanisms/

ENV PATH=/opt/lra-design/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /lra
VOLUME ["/home/lra", "/runs"]
EXPOSE 8000
# As Ctrl-C does: what is interrupted goes on with the same command.
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5m --timeout=2m --start-period=1m --retries=2 \
    CMD ["python", "/usr/local/lib/lra-design/health.py"]
ENTRYPOINT ["tini", "--", "lra-design"]
CMD ["--help"]

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lra-design" \
      org.opencontainers.image.description="A benchmark for agent-written attention mechanisms on the Long Range Arena; processors only" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
