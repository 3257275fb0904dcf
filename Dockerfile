# The service as an image: `docker build -t tenantry .`, then `serve`, `worker`, `migrate` or any other command.
FROM python:3.13.9-slim-bookworm AS build
COPY requirements-run.lock .
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements-run.lock

FROM python:3.13.9-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home tenantry && install -d -o tenantry -m 700 /data
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/tenantry
COPY migrations migrations
COPY app app
RUN /opt/venv/bin/python -m compileall -q app migrations
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TENANTRY_ENVIRONMENT=production \
    TENANTRY_HOST=0.0.0.0 \
    TENANTRY_DATA_DIR=/data \
    TENANTRY_LOG_FORMAT=json
USER tenantry
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve"]
