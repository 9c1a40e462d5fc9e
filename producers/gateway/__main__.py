"""`python -m producers.gateway`: print the OpenAPI document of the gateway."""

from __future__ import annotations

import json
import sys

from producers.gateway.api.openapi import document
from producers.gateway.app import create_app
from producers.gateway.settings import GatewaySettings

if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(create_app(GatewaySettings())), indent=2) + "\n")
