# lra-design for NVIDIA cards. As docker/cpu.Dockerfile, but for its bases, and for the kernels of
# the extra `kernels` (flash-attn and others), which are built here, in the devel stage.
#
# Written from documentation: it was never built, and has never seen a card (docs/containers.md).
#
# CUDA 13.0 is what PyTorch 2.13 of constraints.txt is built with; kernels need the same. The tags
# are exact; their digests could not be known where this was written. docker/build.sh --cuda prints
# them: pin what you have tried, as --build-arg DEVEL=NAME:TAG@sha256:... and RUNTIME likewise.
# RUNTIME is a base image: PyTorch brings the CUDA libraries itself.
ARG DEVEL=docker.io/nvidia/cuda:13.0.1-devel-ubuntu24.04
ARG RUNTIME=docker.io/nvidia/cuda:13.0.1-base-ubuntu24.04

FROM ${DEVEL} AS dependencies
COPY docker/install.sh /usr/local/lib/lra-design/
RUN /usr/local/lib/lra-design/install.sh system build-essential git python3-dev
ARG EXTRAS=data,postgres,ray
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY constraints.txt pyproject.toml /src/
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /usr/local/lib/lra-design/install.sh dependencies /src /opt/lra-design "$EXTRAS"

# Long with few jobs (MAX_JOBS), and much memory for each: neither was measured. Cards: 80 is Ampere,
# 90 Hopper, 100 and 120 Blackwell.
FROM dependencies AS kernels
ARG MAX_JOBS=4
ARG FLASH_ATTN_CUDA_ARCHS="80;90;100;120"
ARG FLASH_ATTENTION_FORCE_BUILD=TRUE
ARG MAMBA_FORCE_BUILD=TRUE
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /usr/local/lib/lra-design/install.sh kernels /src /opt/lra-design

FROM dependencies AS wheel
COPY . /src/
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /usr/local/lib/lra-design/install.sh wheel /src /dist /opt/lra-design

# Triton and torch.compile call a C compiler at run time, and want Python's headers.
FROM ${RUNTIME}
COPY docker/install.sh /usr/local/lib/lra-design/
RUN /usr/local/lib/lra-design/install.sh system g++ python3-dev \
    && /usr/local/lib/lra-design/install.sh user
COPY --from=kernels /opt/lra-design /opt/lra-design
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
LABEL org.opencontainers.image.title="lra-design-cuda" \
      org.opencontainers.image.description="A benchmark for agent-written attention mechanisms on the Long Range Arena; with CUDA and its kernels" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
