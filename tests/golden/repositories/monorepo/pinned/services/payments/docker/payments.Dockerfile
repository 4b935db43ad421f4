FROM eclipse-temurin:21-jdk@sha256:2fef57ec12dc5b6f140c528bfd370665d166ca3618280535c60ee91b4202907f as builder
WORKDIR /app
COPY . .
RUN ./gradlew --no-daemon installDist
from eclipse-temurin:21-jre-alpine@sha256:824f29340f7dc688c924d87345f6c2a4836c240726270070f172a6fe28a41782
onbuild copy --from=busybox:stable@sha256:1a58015243091e21487ba1ee840d294fb50e68d4b26bd9f9e894f07b2129de75 /bin/wget /bin/wget
copy --from=builder /app/build/install/payments /opt/payments
cmd ["/opt/payments/bin/payments"]
