# The image of Moorline: a virtual environment built in one stage, copied into a bare one.
FROM python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/moorline
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN /opt/moorline/bin/pip install --require-hashes -r requirements.lock \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY bot ./bot
COPY webhooks ./webhooks
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation -w /dist . \
    && /opt/moorline/bin/pip install --no-deps /dist/moorline-*.whl \
    && /opt/moorline/bin/moorline --version

FROM python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

LABEL org.opencontainers.image.title="Moorline" \
      org.opencontainers.image.description="Moors floating image tags" \
      org.opencontainers.image.licenses="Apache-2.0"

RUN useradd --system --uid 10001 --home-dir /var/lib/moorline --create-home moorline
COPY --from=build /opt/moorline /opt/moorline
ENV PATH=/opt/moorline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MOORLINE_HOST=0.0.0.0 \
    MOORLINE_DATABASE_URL=sqlite:////var/lib/moorline/moorline.db
USER 10001
WORKDIR /var/lib/moorline
VOLUME /var/lib/moorline
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["moorline"]
CMD ["serve"]
