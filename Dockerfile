# An endpoint in a container. The first start in an empty volume makes keys and
# configuration:
#
#     docker run -e HOMESERVER_SERVER_NAME=example.org -v homeserver:/data -p 8448:8448 homeserver
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/homeserver
COPY constraints.txt .
ENV PIP_CONSTRAINT=/source/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
COPY setup.cfg setup.py pyproject.toml README.md LICENSE ./
COPY homeserver homeserver
# The sample of the configuration, to which a link in there leads.
COPY conf/homeserver.toml conf/
# What installs is of no use to what runs. twistd, which is the name server of the pair,
# looks for its plugins now: later it may not write down what it has found.
RUN /opt/homeserver/bin/pip install --no-cache-dir ".[postgres]" \
 && /opt/homeserver/bin/pip uninstall --yes pip setuptools \
 && /opt/homeserver/bin/twistd --help >/dev/null

FROM python:3.11-slim-bookworm
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
