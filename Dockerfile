# docker build -t sipagent .
# docker run --network host -e OPENAI_API_KEY sipagent
#
# Host networking, since every call has a UDP port of its own, and publishing thousands of them costs a proxy each.
# To change the settings, mount your own: -v ./config.yaml:/etc/sipagent/config.yaml:ro
FROM debian:bookworm-slim AS build

COPY . /tmp/source
RUN /tmp/source/docker/build.sh /tmp/source /tmp/wheels


FROM debian:bookworm-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SIPAGENT_RECORDINGS=/var/lib/sipagent/recordings

COPY . /tmp/source
COPY --from=build /tmp/wheels /tmp/wheels
RUN /tmp/source/docker/install.sh /tmp/source /tmp/wheels && rm -rf /tmp/source /tmp/wheels

USER sipagent
WORKDIR /var/lib/sipagent
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["/opt/sipagent/bin/sipagent-health"]

# tini reaps the voice's processes, and hands SIGTERM on, which drains: give calls time with docker stop --time.
ENTRYPOINT ["/usr/bin/tini", "--", "sipagent"]
CMD ["run", "/etc/sipagent/config.yaml"]
