# One image for every part of a cluster: Ray's head, its workers, and `evolve` itself, bubblewrap included.
#
#   docker build -t evolve .
#   docker build -t evolve --build-arg EXTRAS=ray,postgres,moe --build-arg PACKAGES="g++ nodejs" .
#
# BASE is any image of Debian or Ubuntu with Python 3.11 or later. A package index of your own comes in as a build secret, which
# leaves no trace in the image: `--secret id=pip,src=$HOME/.config/pip/pip.conf`; certificates that its `cert =` names, if any,
# as `--secret id=certificates,src=...`, found under /run/secrets/certificates.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS built
# Debian's own Python comes without the module that makes environments.
RUN python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends python3-venv; }
RUN python3 -m venv /opt/evolve
WORKDIR /src
# What is pinned comes first, so that a change of the sources does not install Ray anew.
ARG EXTRAS=ray,postgres
COPY pyproject.toml constraints.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=certificates \
    /opt/evolve/bin/python -c 'import sys, tomllib; \
project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
extras = [name for name in sys.argv[1].split(",") if name]; \
print(*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name]), sep="\n")' \
        "${EXTRAS}" > requirements.txt \
    && /opt/evolve/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt -r requirements.txt
COPY . .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=certificates \
    /opt/evolve/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps . \
    && /opt/evolve/bin/pip check

FROM ${BASE}
# bubblewrap makes level `strong`; PACKAGES is for what tasks of yours build and run, such as g++ and nodejs.
ARG PACKAGES=""
RUN apt-get update -q \
    && apt-get install -q -y --no-install-recommends bubblewrap ca-certificates ${PACKAGES} \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home evolve \
    && install -d -o evolve -g evolve /work
COPY --from=built /opt/evolve /opt/evolve
COPY deploy/healthcheck.py /usr/local/lib/evolve-healthcheck.py
# gRPC: Ray's client server forks while its threads are busy, and the child dies of gRPC's attempts to prepare for that.
ENV PATH=/opt/evolve/bin:$PATH PYTHONUNBUFFERED=1 RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 GRPC_ENABLE_FORK_SUPPORT=0
USER evolve
WORKDIR /work
CMD ["evolve", "doctor"]
