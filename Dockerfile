# An endpoint in a container. The first start in an empty volume makes keys and
# configuration:
#
#     docker run -e HOMESERVER_SERVER_NAME=example.org -v homeserver:/data -p 8448:8448 homeserver
#
# `docker compose build` gives the base by its digest, so that the same image can be built
# next year; `docker build` alone takes what the name means today.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS build
WORKDIR /source
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
# Nothing but the pinned files, whose hashes pip checks.
COPY constraints.txt .
COPY scripts/pins scripts/
RUN python -m venv /opt/homeserver \
 && scripts/pins postgres >pins.txt \
 && /opt/homeserver/bin/pip install --no-cache-dir --require-hashes --no-deps -r pins.txt
COPY setup.cfg setup.py pyproject.toml README.md LICENSE ./
COPY homeserver homeserver
# The sample of the configuration, to which a link in there leads.
COPY conf/homeserver.toml conf/
# What installs, and the tests of others, are of no use to what runs. twistd, which is the name server of the pair,
# looks for its plugins now: later it may not write down what it has found.
RUN /opt/homeserver/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/homeserver/bin/pip uninstall --yes pip setuptools \
 && find /opt/homeserver/lib -type d '(' -name test -o -name tests ')' -prune -exec rm -r {} + \
 && /opt/homeserver/bin/twistd --help >/dev/null

FROM ${BASE}
LABEL org.opencontainers.image.title="homeserver" \
      org.opencontainers.image.description="A minimal reference homeserver federation endpoint for Matrix" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 8448 homeserver \
 && useradd --system --uid 8448 --gid homeserver --home-dir /data --shell /usr/sbin/nologin homeserver \
 && install -d -o homeserver -g homeserver -m 0700 /data
COPY --from=build /opt/homeserver /opt/homeserver
# The control API has to be reached from outside of the container: publish its port to
# the host's loopback interface alone. Its token is in /data/control.token.
ENV PATH=/opt/homeserver/bin:$PATH HOMESERVER_CONTROL=0.0.0.0:8008
USER homeserver
# Commands find homeserver.toml here.
WORKDIR /data
VOLUME /data
EXPOSE 8448 8008
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["homeserver", "health"]
ENTRYPOINT ["homeserver"]
CMD ["run"]
