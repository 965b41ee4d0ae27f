"""What a test asks of an HTML page."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Tags, ids, links and images of a page, and its recordings in table order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.links, self.images, self.order = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "img":
            self.images.append(attributes["src"])

    def handle_data(self, data):
        in_link = self.tags and self.tags[-1] == "a" and self.links[-1] != "#top"
        if in_link and data.strip():
            self.order.append(data.strip())
