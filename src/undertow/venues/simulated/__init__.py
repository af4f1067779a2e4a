"""A simulated exchange: matching engine, order flow, and Binance USD-M's protocol over real sockets."""
