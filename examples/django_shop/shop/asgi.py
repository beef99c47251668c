"""Django, with the console beside it: ``uvicorn shop.asgi:application``."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django = get_asgi_application()

from oban_powertools.integrations.django.asgi import with_console  # noqa: E402 - Django has to be set up

application = with_console(django)
