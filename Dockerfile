# One image for every role: `docker run blackstart serve origin`, and so on. See compose.yaml.
FROM python:3.13-slim

# git is what the builder checks a commit out with.
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /srv/blackstart

# The same lock as the launcher's. The embedded MongoDB is left out: a container is given a real one.
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY platform platform
COPY cdn cdn
COPY builder builder
COPY guard guard
COPY recovery recovery
COPY drills drills
COPY cli cli
RUN pip install --no-cache-dir --no-build-isolation --no-deps .

RUN useradd --create-home blackstart \
    && install -d -o blackstart /var/cache/blackstart /var/lib/blackstart/pointer-log
USER blackstart
WORKDIR /home/blackstart

ENTRYPOINT ["blackstart"]
CMD ["--help"]
