"""Maintenance: retention, the doctor, the check before a deploy, metrics."""
