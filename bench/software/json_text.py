"""Objects to JSON and back: strings, dictionaries, the allocator."""
import json

data = [{"id": i, "name": "item %d" % i, "tags": [str(i * k) for k in range(8)], "price": i / 7} for i in range(4000)]
for _ in range(12):
    text = json.dumps(data)
    data = json.loads(text)
print(len(text), data[1234])
