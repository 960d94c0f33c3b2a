"""The whole pipeline on made-up people: `python -m line_ads_pipeline.demo`."""
