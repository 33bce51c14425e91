"""Where a host and a shipper of one machine meet. Both use it, and it knows neither."""
