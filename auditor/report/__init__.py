"""Records made visible: console tables, JSON, CSV and Parquet, drawings and the HTML page."""
