"""One HTML page on a run; needs jinja2 (``pip install 'ssahc[plots]'``)."""
