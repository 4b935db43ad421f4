FROM eclipse-temurin:21-jdk as builder
WORKDIR /app
COPY . .
RUN ./gradlew --no-daemon installDist
from eclipse-temurin:21-jre-alpine
onbuild copy --from=busybox:stable /bin/wget /bin/wget
copy --from=builder /app/build/install/payments /opt/payments
cmd ["/opt/payments/bin/payments"]
