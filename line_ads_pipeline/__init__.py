"""Keeps LINE Ads custom audiences in step with segments in a warehouse."""
