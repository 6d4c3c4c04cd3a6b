"""Switch a lamp by gestures over MQTT, as Home Assistant, Zigbee2MQTT or Tasmota listen to it.

pip install 'last-edge[runtime,mqtt]'
python examples/mqtt_lamp.py 127.0.0.1 zigbee2mqtt/lamp/set

A swipe up turns the lamp on, a swipe down off. The third and fourth argument are bundle and source, as in
live_gestures.py.
"""

import json
import sys

import paho.mqtt.client as mqtt

from last_edge import Recogniser

MESSAGES = {"swipe up": {"state": "ON"}, "swipe down": {"state": "OFF"}}


def main(host: str, topic: str, bundle: str = "last_lite_nano_shrec14", source: str = "cam:0") -> None:
    """host: of the broker, with `:PORT` where it is not 1883."""
    name, _, port = host.partition(":")
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect(name, int(port or 1883))
    client.loop_start()  # sends and connects anew beside the camera
    try:
        for event in Recogniser.open(bundle).watch(source):
            message = MESSAGES.get(event.label)
            if message is not None:
                client.publish(topic, json.dumps(message), qos=1).wait_for_publish(timeout=5)
                print(event.label, "→", topic, message, flush=True)
    finally:
        client.loop_stop()
        client.disconnect()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
