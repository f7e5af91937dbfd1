# Builds with all tools, runs with none of them: as an ordinary user, and with a root file system that may be read-only.
#
#   docker build -t cronwright .
#   docker run --init --read-only --tmpfs /tmp -v cronwright-data:/data -p 127.0.0.1:8080:8080 \
#     -e CRONWRIGHT_TOKEN="$(openssl rand -hex 24)" cronwright
#
# A token is required: inside a container the daemon listens on all addresses, which it refuses to do without one.
# Own pipelines: -v ./config:/app/config:ro. PostgreSQL: -e DATABASE_URL=postgres://…

FROM node:24-bookworm-slim AS build
WORKDIR /app
# The manifests first, so that the packages are a layer that changes only with them. `prepare` would build before src is there.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY plugins ./plugins
COPY scripts ./scripts
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:24-bookworm-slim
# git for the git.* steps, certificates for remotes over https; node brings its own time zones.
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates git \
  && rm -rf /var/lib/apt/lists/* \
  && install -d -o node -g node -m 0750 /data
ENV NODE_ENV=production \
  CRONWRIGHT_HOST=0.0.0.0 \
  CRONWRIGHT_PORT=8080 \
  CRONWRIGHT_DATA_DIR=/data
WORKDIR /app
COPY package.json LICENSE ./
COPY bin ./bin
COPY config ./config
COPY docs ./docs
COPY examples ./examples
COPY src/db/migrations ./src/db/migrations
COPY src/http/assets ./src/http/assets
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
USER node
VOLUME /data
EXPOSE 8080
# Liveness only: a database that is away is for /readyz and alerts, not for restarts.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.CRONWRIGHT_PORT}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# The daemon handles SIGTERM itself: it drains for up to 30 s, so stop it with `docker stop --time 35`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/bin/cronwright.js"]
CMD ["start"]
