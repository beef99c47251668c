"""Addresses; that of the console is in ``asgi.py``."""

from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("orders/", views.create),
    path("orders/<int:order_id>/", views.show),
]
