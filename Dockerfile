# LAST-Edge on a board or a server: `runtime-lite`, the zoo and nothing else, as a user without rights.
#
#   docker buildx build --platform linux/arm64,linux/amd64 --tag last-edge .
#   docker run --rm --device /dev/video0 --group-add video last-edge run last_lite_nano_shrec14 --source cam:0,vga --events -
FROM python:3.12-slim-bookworm AS wheel
WORKDIR /build
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels

FROM python:3.12-slim-bookworm
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 OMP_WAIT_POLICY=passive LAST_EDGE_CACHE=/var/cache/last-edge
COPY --from=wheel /wheels /wheels
RUN pip install "$(ls /wheels/*.whl)[runtime-lite]" && rm -r /wheels
COPY zoo /usr/share/last-edge/zoo
ENV LAST_EDGE_ZOO=/usr/share/last-edge/zoo
RUN useradd --system --create-home --groups video edge && install -d -o edge -g edge /var/cache/last-edge
USER edge
WORKDIR /home/edge
# The landmark models, each held to its sha256; a container then needs no network.
RUN last-edge models fetch hand && last-edge models fetch pose
ENTRYPOINT ["last-edge"]
CMD ["doctor"]
