import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = get_wsgi_application()

if os.environ.get("DJANGO_SUPERUSER_PASSWORD"):  # a database that is new with each environment needs its tables and a user
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("createsuperuser", interactive=False, username="admin", email="admin@example.com", verbosity=0)
