# One static program in an empty image, as a user without rights.
#   docker build -t btu-scan .
#   docker run --rm --network none -v "$PWD:/work:ro" btu-scan model/ --reference base/
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/btu-scan ./cmd/btu-scan && mkdir -m 1777 /out/tmp

FROM scratch
# For --online and reference pull, which alone use the network.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ /
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/btu-scan"]
