"""Names that others like to be taken for: data for the typosquat check.

Docker's official images as of November 2026, deprecated ones included since their names still
pull; namespaces and registries that many pipelines use; actions in the same way.  The lists only
make the check ask; a name that is missing here costs a warning at most.
"""

from __future__ import annotations

OFFICIAL_IMAGES = frozenset(
    """
    adminer aerospike almalinux alpine alt amazoncorretto amazonlinux api-firewall arangodb archlinux
    backdrop bash bonita buildpack-deps busybox caddy cassandra centos chronograf cirros clearlinux
    clefos clickhouse clojure composer consul convertigo couchbase couchdb crate crux dart debian docker
    drupal eclipse-mosquitto eclipse-temurin eggdrop elasticsearch elixir emqx erlang express-gateway
    fedora flink fluentd fsharp friendica gazebo gcc geonetwork ghost golang gradle groovy haproxy haskell
    haxe hello-seattle hello-world hitch hola-mundo httpd hylang ibm-semeru-runtimes ibmjava influxdb
    iojs irssi java jenkins jetty jobber joomla jruby julia kaazing-gateway kapacitor kibana
    known kong krakend lightstreamer liquibase logstash mageia mariadb matomo maven mediawiki memcached
    mongo mongo-express monica mono mysql nats nats-streaming neo4j neurodebian nextcloud nginx node
    notary nuxeo odoo open-liberty openjdk opensuse oraclelinux orientdb percona perl photon php
    php-zendserver phpmyadmin piwik plone postfixadmin postgres pypy python r-base rabbitmq
    rakudo-star rapidoid redis redmine registry rethinkdb rocket.chat rockylinux ros ruby rust
    sapmachine satosa scratch sentry silverpeas solr sonarqube sourcemage spark spiped storm swarm
    swift swipl teamspeak telegraf thrift tomcat tomee traefik ubuntu ubuntu-debootstrap
    ubuntu-upstart unit varnish vault websphere-liberty wordpress xwiki yourls znc zookeeper
    """.split()  # noqa: SIM905 - a hundred and seventy quoted words are harder to read and to check
)

ALIASES = {
    "apache": "httpd",
    "apache2": "httpd",
    "debain": "debian",
    "elastic": "elasticsearch",
    "elastic-search": "elasticsearch",
    "go": "golang",
    "go-lang": "golang",
    "java-jdk": "eclipse-temurin",
    "jdk": "eclipse-temurin",
    "maria": "mariadb",
    "maria-db": "mariadb",
    "memcache": "memcached",
    "mongodb": "mongo",
    "mosquitto": "eclipse-mosquitto",
    "node-js": "node",
    "nodejs": "node",
    "open-jdk": "openjdk",
    "pgsql": "postgres",
    "postgre": "postgres",
    "postgresql": "postgres",
    "py": "python",
    "python2": "python",
    "python3": "python",
    "rabbit": "rabbitmq",
    "rabbit-mq": "rabbitmq",
    "rocketchat": "rocket.chat",
    "rust-lang": "rust",
    "rustlang": "rust",
    "temurin": "eclipse-temurin",
    "zoo-keeper": "zookeeper",
}
"""Names that people type for an official image."""

NAMESPACES = frozenset(
    """
    alpine amazon amazonlinux anchore apache aquasec argoproj atlassian bitnami bitnamilegacy bitwarden
    bridgecrew calico checkmarx chainguard cilium circleci cimg cloudflare codercom confluentinc continuumio
    curlimages cypress datadog debezium dependencytrack docker dpage elastic envoyproxy
    fluent fluxcd gitea gitlab goharbor google grafana hadolint hashicorp haproxytech istio itzg
    jaegertracing jenkins jenkinsci jupyter keycloak kindest kong koalaman kubernetesui library linkerd
    linuxserver localstack louislam mailhog metabase microsoft minio moby mongodb mozilla
    mysql n8nio nginx nginxinc nginxproxy nocodb nvidia octopusdeploy openpolicyagent
    opensearchproject opensuse oracle ory osixia paketobuildpacks pihole plexinc portainer postgis postgrest
    prom prometheus puppeteer pulumi rancher rapidsai redhat redis redislabs renovate requarks returntocorp
    rustlang rocker securego selenium semgrep sigstore snyk sonarsource sonatype squidfunk
    statsd strimzi temporalio tensorflow thanosio timescale tonistiigi traefik trufflesecurity
    ubuntu unleashorg vaultwarden verdaccio victoriametrics weaveworks wiremock yandex zalando zaproxy
    """.split()  # noqa: SIM905 - as above
)
"""Namespaces on Docker Hub that pipelines everywhere pull from."""

REGISTRIES = frozenset(
    {
        "docker.io",
        "ghcr.io",
        "quay.io",
        "gcr.io",
        "us.gcr.io",
        "eu.gcr.io",
        "asia.gcr.io",
        "mirror.gcr.io",
        "k8s.gcr.io",
        "registry.k8s.io",
        "mcr.microsoft.com",
        "public.ecr.aws",
        "registry.gitlab.com",
        "registry.access.redhat.com",
        "registry.redhat.io",
        "registry.fedoraproject.org",
        "registry.opensuse.org",
        "registry.suse.com",
        "container-registry.oracle.com",
        "docker.elastic.co",
        "nvcr.io",
        "cgr.dev",
        "lscr.io",
        "ecr.aws",
        "icr.io",
        "xpkg.upbound.io",
        "codeberg.org",
    }
)

ELSEWHERE = frozenset({"pause", "coredns", "etcd", "kube-proxy", "kube-apiserver", "distroless"})
"""Well-known images that do not live on Docker Hub: the same name there is somebody else's."""

ACTIONS = frozenset(
    """
    actions/cache actions/checkout actions/configure-pages actions/create-github-app-token
    actions/dependency-review-action actions/deploy-pages actions/download-artifact
    actions/first-interaction actions/github-script actions/labeler actions/setup-dotnet
    actions/setup-go actions/setup-java actions/setup-node actions/setup-python actions/stale
    actions/upload-artifact actions/upload-pages-artifact aquasecurity/trivy-action
    aws-actions/amazon-ecr-login aws-actions/configure-aws-credentials azure/login azure/setup-helm
    codecov/codecov-action docker/build-push-action docker/login-action docker/metadata-action
    docker/setup-buildx-action docker/setup-qemu-action dorny/paths-filter
    dtolnay/rust-toolchain github/codeql-action golangci/golangci-lint-action
    google-github-actions/auth google-github-actions/setup-gcloud gradle/actions
    hashicorp/setup-terraform helm/kind-action jetbrains/qodana-action
    ossf/scorecard-action peaceiris/actions-gh-pages peter-evans/create-pull-request
    pnpm/action-setup pre-commit/action pypa/gh-action-pypi-publish ruby/setup-ruby
    shivammathur/setup-php sigstore/cosign-installer slackapi/slack-github-action
    softprops/action-gh-release sonarsource/sonarqube-scan-action step-security/harden-runner
    super-linter/super-linter swatinem/rust-cache tj-actions/changed-files
    """.split()  # noqa: SIM905 - as above
)
