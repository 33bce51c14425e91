"""The meeting point of a host and a shipper on one machine. Both use it, and it knows neither."""
