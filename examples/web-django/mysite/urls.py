from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.http import HttpResponse
from django.urls import path


def index(request):
    return HttpResponse(f"<h1>Hello {request.GET.get('name', 'world')} from Django</h1>")


urlpatterns = [
    path("", index),
    path("admin/", admin.site.urls),
    path("static/<path:path>", serve, {"insecure": True}),
]
